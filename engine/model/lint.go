package model

import (
	"fmt"
	"strings"
)

// Level says how bad a finding is.
type Level string

// The levels. A contradiction is something that cannot work as it is written.
const (
	Contradiction Level = "contradiction"
	Warning       Level = "warning"
	Note          Level = "note"
)

// Finding is what the linter has to say about a setting.
type Finding struct {
	Level   Level  `json:"level"`
	Client  string `json:"client,omitempty"` // empty: the service's own setting
	Setting string `json:"setting"`          // as it is written in a Caddyfile
	Message string `json:"message"`
	Mend    string `json:"mend"`
	Source  string `json:"source"` // the specification's section, or the setting that it contradicts
}

func (f Finding) String() string {
	where := f.Setting
	if f.Client != "" {
		where = "client " + f.Client + ": " + f.Setting
	}
	return fmt.Sprintf("%s: %s: %s (%s)\n\t%s", f.Level, where, f.Message, f.Source, f.Mend)
}

// rule finds one thing in a T. Found returns what it is about, or nothing.
type rule[T any] struct {
	level                          Level
	setting, message, mend, source string
	found                          func(T) []string
}

func (r *rule[T]) apply(t T, client string) (list []Finding) {
	for _, what := range r.found(t) {
		list = append(list, Finding{
			Level: r.level, Client: client, Setting: r.setting, Source: r.source,
			Message: strings.ReplaceAll(r.message, "%", what), Mend: strings.ReplaceAll(r.mend, "%", what),
		})
	}
	return list
}

// pairing is a client at its service.
type pairing struct {
	*Client
	service *Service
}

// Lint says which settings of a service and its clients contradict each other,
// a specification or RFC 9700, and how to mend them. What cannot be configured
// at all is an error earlier, of NewService and NewClient.
func Lint(s *Service, clients []Client) []Finding {
	list := []Finding{}
	for i := range serviceRules {
		list = append(list, serviceRules[i].apply(s, "")...)
	}
	for i := range clients {
		for j := range clientRules {
			list = append(list, clientRules[j].apply(pairing{&clients[i], s}, clients[i].Alias)...)
		}
	}
	return list
}

// yes makes a finding of a condition that needs no name.
func yes(condition bool) []string {
	if condition {
		return []string{""}
	}
	return nil
}

// missing lists the members of have that wanted lacks.
func missing[E ~string](have, wanted []E) (list []string) {
next:
	for _, h := range have {
		for _, w := range wanted {
			if h == w {
				continue next
			}
		}
		list = append(list, string(h))
	}
	return list
}
