package dpop

import "testing"

// RFC 9449 §4.3 asks for the normalization of RFC 3986 §6.2.2 and §6.2.3.
func TestNormalize(t *testing.T) {
	for from, want := range map[string]string{
		"https://api.example.com":        "https://api.example.com/",
		"https://api.example.com/":       "https://api.example.com/",
		"HTTPS://API.Example.COM/A":      "https://api.example.com/A",
		"https://api.example.com:443/":   "https://api.example.com/",
		"https://api.example.com:/":      "https://api.example.com/",
		"https://api.example.com:80/":    "https://api.example.com:80/",
		"http://api.example.com:80/":     "http://api.example.com/",
		"http://[::1]:80/":               "http://[::1]/",
		"http://[::1]/":                  "http://[::1]/",
		"https://h443/":                  "https://h443/",
		"https://h/a?b=c#d":              "https://h/a",
		"https://h?b":                    "https://h/",
		"https://h/%7ealice/%41%2d":      "https://h/~alice/A-",
		"https://h/a%2fb%c3%a9":          "https://h/a%2Fb%C3%A9",
		"https://h/%252f":                "https://h/%252f",
		"https://h/é":                    "https://h/%C3%A9",
		"https://h/a b":                  "https://h/a%20b",
		"https://h/a//b":                 "https://h/a//b",
		"https://h/a/./b/../c":           "https://h/a/c",
		"https://h/a/%2e%2E/b":           "https://h/b",
		"https://h/../../a":              "https://h/a",
		"https://h/a/..":                 "https://h/",
		"https://h/a/.":                  "https://h/a/",
		"https://h/a/../":                "https://h/",
		"https://h/.well-known/a..b/...": "https://h/.well-known/a..b/...",
		"https://h/a//../b":              "https://h/a/b",
		"https://h/a;v=1/b,c":            "https://h/a;v=1/b,c",
		"ftp://h/":                       "",
		"https:///a":                     "",
		"https://:443/a":                 "",
		"https://u@h/":                   "",
		"https://u:p@h/":                 "",
		"mailto:alice@example.com":       "",
		"https:h":                        "",
		"//h/a":                          "",
		"/a":                             "",
		"":                               "",
		"https://h/\x7f":                 "",
		"https://h:port/":                "",
		"https://h/%":                    "",
		"http://h%250":                   "",
		"http://[fe80::1%25eth0]/":       "",
		"\thttps://h/":                   "",
		"https://[::1/":                  "",
		"https://h /":                    "",
		"javascript://h/%0aalert(1)":     "",
		"https://api.example.com%2eevil.example/orders": "",
	} {
		got, err := normalizeText(from)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q %v, want %q", from, got, err, want)
		}
		if want == "" {
			continue
		}
		if again, err := normalizeText(got); again != got || err != nil {
			t.Errorf("%q is not in its own normal form: %q %v", got, again, err)
		}
	}
}
