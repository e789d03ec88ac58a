package login

import (
	"slices"
	"strings"
)

// Languages are the built-in languages of the pages, English first: each is a
// file in the folder locales.
func Languages() []string {
	entries, _ := embedded.ReadDir(localeFolder) // of the binary: it is there
	tags := []string{english}
	for _, e := range entries {
		if tag := strings.TrimSuffix(e.Name(), localeSuffix); !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return tags
}
