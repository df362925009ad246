package config

import (
	"fmt"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"

	"millrace.dev/millrace/pipeline/topics"
)

// Access says which topics clients of the embedded broker may publish to and
// subscribe to.
type Access struct {
	Everyone  Rights     `yaml:"everyone" doc:"rights of every client that the rules bind"`
	Anonymous *Rights    `yaml:"anonymous" doc:"rights of clients without a user. Unless said, such clients of the same machine may do everything, and those of others what everyone may"`
	Users     UserRights `yaml:"users" doc:"rights by user, beside those of everyone"`
}

// Rights are MQTT filters.
type Rights struct {
	Publish   []string `yaml:"publish" doc:"MQTT filters that may be published to; %u in a level stands for the user, %c for the client identifier"`
	Subscribe []string `yaml:"subscribe" doc:"MQTT filters whose messages may be read"`
	Both      []string `yaml:"both" doc:"MQTT filters for which both is allowed"`
	Deny      []string `yaml:"deny" doc:"MQTT filters for which neither is allowed, whatever else is said"`
}

// UserRights are the rights of users, in the order of the file.
type UserRights []UserRight

// UserRight has the rights of a user.
type UserRight struct {
	User   string
	Rights Rights
}

// Limits of access rules.
const (
	userRightsMax    = 10_000
	rightsFiltersMax = 1000 // that bind one client
)

func (us *UserRights) fromNode(d *decoder, n *yaml.Node, path string) {
	d.mapping(n, path, "rights by user", func(key, value *yaml.Node, path string) {
		if len(*us) == userRightsMax {
			d.fail(key, path, "write %u in the rights of everyone for what differs by the name alone", "more than %d users", userRightsMax)
			return
		}
		u := UserRight{User: key.Value}
		if strings.ContainsFunc(u.User, unicode.IsControl) || strings.Contains(u.User, ":") || strings.TrimSpace(u.User) != u.User {
			d.fail(key, path, "names of users have no colon, and no space around them", "%q is no name of a user", u.User)
		}
		d.value(value, settable(&u.Rights), "", path)
		*us = append(*us, u)
	})
}

func (r *Rights) filters() int {
	return len(r.Publish) + len(r.Subscribe) + len(r.Both) + len(r.Deny)
}

func (d *decoder) checkAccess(b *Broker) {
	a, path := b.Access, "broker.access"
	if a == nil {
		return
	}
	d.checkRights(path+".everyone", &a.Everyone, 0)
	if a.Anonymous != nil {
		d.checkRights(path+".anonymous", a.Anonymous, a.Everyone.filters())
	}
	for i := range a.Users {
		u := &a.Users[i]
		d.checkRights(path+".users."+u.User, &u.Rights, a.Everyone.filters())
	}
	if a.Anonymous != nil && b.Anonymous == "never" {
		d.problem(path+".anonymous#key", "leave it out", "broker.anonymous is never: there are no such clients")
	}
	if len(a.Users) > 0 && b.Users == "" {
		d.problem(path+".users#key", "add users: with a file that millrace user keeps", "nobody would be such a user: broker.users names no file of passwords")
	}
}

// checkRights checks the rights of some clients, which are bound by so many
// filters besides.
func (d *decoder) checkRights(path string, r *Rights, besides int) {
	if n := r.filters() + besides; n > rightsFiltersMax {
		d.problem(path+"#key", "take wider filters", "%d filters for one client, the most is %d", n, rightsFiltersMax)
	}
	for _, list := range []struct {
		key     string
		filters []string
	}{{"publish", r.Publish}, {"subscribe", r.Subscribe}, {"both", r.Both}, {"deny", r.Deny}} {
		for i, f := range list.filters {
			at := fmt.Sprintf("%s.%s[%d]", path, list.key, i)
			if _, err := topics.ParseFilter(f); err != nil {
				if d.there(at) && !d.hasProblem(at) {
					d.problem(at, `# and + stand alone in their levels; write "#" in quotes`, "%v", err)
				}
			} else if inner, isShared := strings.CutPrefix(f, "$share/"); isShared {
				_, inner, _ = strings.Cut(inner, "/")
				d.problem(at, "write "+inner, "a shared subscription needs the rights to what it shares")
			}
		}
	}
}
