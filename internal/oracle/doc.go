// Package oracle knows what must come out of a node, whatever happens to it.
//
// Every Publisher is a device whose messages follow from their number alone,
// so that each window that must be there is known, and what must be in it. A
// Verdict counts how far results are from that.
package oracle
