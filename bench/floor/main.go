// Floor is the least that a job costs: a bare program that takes MQTT packets
// from its sockets, does one job by hand and publishes the results. It is no
// broker: it knows QoS 0 and 1 and the one payload, keeps nothing and routes
// nothing but results.
//
//	floor -listen 127.0.0.1:1883 -job main
package main

import (
	"flag"
	"fmt"
	"net"
	"os"

	"millrace.dev/millrace/bench/native"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "floor:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:1883", "address to listen on")
	job := flag.String("job", "main", "filter, window, zscore or main")
	flag.Parse()
	kind, err := native.ParseKind(*job)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	return newServer(kind).serve(l)
}
