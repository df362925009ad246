// Package tidy holds tests about the code itself: who may import whom, what
// the core may not do, how long things may be, and that what the docs show and
// link to is there. A finding says what to do about it.
package tidy
