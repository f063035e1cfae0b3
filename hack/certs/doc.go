// Command certs makes the certificates of gateways for demonstrations and for trying things out: one
// trust anchor, and for each cluster an issuer, which may sign for its gateway alone, and its certificate (CERT-3).
//
//	go run ./hack/certs -out /tmp/certs -trust-domain cluster.local \
//	    -identity east=linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local \
//	    -identity west=linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local
//
// writes ca.crt, east/tls.crt, east/tls.key, east/ca.crt and the same for west. Each folder is what a
// gateway is started with, and what a Secret is made from:
//
//	kubectl create secret generic linkspan-gateway-tls --from-file=/tmp/certs/east
//
// It owns the layout of that folder. It must never overwrite anything, or write a private key that a
// gateway does not need: issuers' keys are forgotten, and the anchor's key is written only when
// -anchor-key asks for it, into a file that must stay out of every cluster (CERT-5). For anything but
// a demonstration take cert-manager, or step: these certificates are not renewed by anybody.
package main
