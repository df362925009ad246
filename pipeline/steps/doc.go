// Package steps has the small stages that pipelines of sensors are made of,
// one a file.
//
//	columns   keep, drop, rename, round, convert, hash, lookup, geo
//	rows      deadband, compress, dedupe, sample, throttle, fill
//
// Every New checks its configuration against the columns that come in; its
// error is an *Error. Schema tells what comes out. Stages that remember do so
// for each key by itself, in memory that a constant or the configuration
// bounds; their snapshots write keys by name.
//
// What a key did is measured in event time, but for dedupe and throttle,
// which count arrival time: they are about what comes in and goes out.
package steps
