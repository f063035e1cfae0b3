// Package observe finds out the facts that package check judges, with the rights of the person at the
// keyboard. A right that is missing is a fact like others: the read says so, and the rest goes on.
//
// It owns what is asked of the API server: one list of each kind, whatever the number of mirrors
// (LESSON-40), and no request to any other cluster or to a gateway. Every
// request ends with the context. Of Secrets it keeps what may be told: no token, key or kubeconfig leaves
// the function that reads it. It must never write; reviews of access are created, and never stored.
//
// An Observer is a value; its methods may be called by many goroutines.
package observe
