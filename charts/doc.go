// Package charts holds the Helm charts as files inside the program, so that `mirror install` renders
// exactly what `helm install` of the same version does (INST-1).
//
// It must never render or interpret them: internal/install/render does. The tests of the charts are a module
// of their own, in the folder test.
package charts
