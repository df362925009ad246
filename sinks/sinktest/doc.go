// Package sinktest is what every sink must survive, and the real servers to
// survive it with. Run calls the suite; StartInflux, StartVictoria,
// StartPostgres and StartPrometheus start servers that the test ends.
package sinktest
