package config

import (
	"fmt"
	"os"
	"regexp"

	"go.yaml.in/yaml/v4"
)

// Secret is a text that is never printed; string(s) has it.
type Secret string

const hidden = "(secret)"

// String hides the secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format hides the secret from every verb of package fmt.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText hides the secret from encoders, such as those of logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

var envRule = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

var envLike = regexp.MustCompile(`\$\{?[A-Za-z_]`)

// fromNode takes the secret as it is written, or from the environment. The
// messages say nothing of the value.
func (s *Secret) fromNode(d *decoder, n *yaml.Node, path string) {
	if n.Kind != yaml.ScalarNode {
		d.fail(n, path, "", "want a text, have %s", kindOf(n))
		return
	}
	*s = Secret(n.Value)
	m := envRule.FindStringSubmatch(n.Value)
	if m == nil {
		if envLike.MatchString(n.Value) {
			d.fail(n, path, "the whole value is ${NAME}; a secret that holds such a text goes into a file", "a secret can be taken from the environment only as a whole")
		}
		return
	}
	value := os.Getenv(m[1])
	if value == "" {
		d.fail(n, path, "set it before starting millrace, or give the secret in a file", "environment variable %s is not set or empty", m[1])
	}
	*s = Secret(value)
}
