package main

import (
	"context"

	"millrace.dev/millrace/internal/config"
)

const schemaHelp = `usage: millrace schema

Prints the JSON Schema of a configuration, for editors that complete and check
YAML. The last word has millrace check.

example:
  $ millrace schema > millrace.schema.json
  $ head -1 plant.yaml
  # yaml-language-server: $schema=millrace.schema.json
`

func schemaCommand(_ context.Context, args []string, s streams) error {
	if len(args) > 0 {
		return usageError{"schema takes no arguments"}
	}
	_, err := s.out.Write(config.Schema())
	return err
}
