// Command generate writes every generated file of the API again: deep copies, apply configurations
// and the CRD, for the product and for its chart. Run it from the top of the tree (make generate); make verify fails when it changes
// anything.
//
// It owns how controller-gen is run and what is done to its CRD. It must never write anything that
// depends on the machine, the time or the order of a map.
package main
