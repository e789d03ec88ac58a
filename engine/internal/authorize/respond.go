package authorize

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"html/template"
	"io"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// answer carries values to the client by the response mode, with the state and
// the issuer that they come from (RFC 9207 §2).
func (d *destination) answer(r *realm.Realm, values url.Values) (model.Action, string, error) {
	if !r.Service.ISSSuppressed {
		values.Set("iss", r.Service.Issuer)
	}
	if d.HasState {
		values.Set("state", d.State)
	}
	switch d.Mode {
	case model.ModeFormPost:
		page, err := formPost(d.RedirectURI, values)
		return model.ActionForm, page, err
	case model.ModeFragment:
		return model.ActionLocation, d.RedirectURI + "#" + values.Encode(), nil
	}
	separator := "?"
	if strings.Contains(d.RedirectURI, "?") {
		separator = "&"
	}
	return model.ActionLocation, d.RedirectURI + separator + values.Encode(), nil
}

// fail carries an error to the client.
func (d *destination) fail(r *realm.Realm, err *oautherr.Error) (model.Action, string, error) {
	values := url.Values{"error": {err.Code}}
	if err.Description != "" && !r.Service.ErrorDescriptionOmitted {
		values.Set("error_description", oautherr.Text(err.Description))
	}
	return d.answer(r, values)
}

// formScript submits the form. Its hash is what a Content-Security-Policy must allow.
const formScript = "document.forms[0].submit()"

// FormScriptHash is the source expression of the script in a FORM response's
// content (CSP Level 3 §2.3.1).
var FormScriptHash = func() string {
	sum := sha256.Sum256([]byte(formScript))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// formPage is the Form Post Response Mode §2. Without a script there is a
// button, in the languages that every page has.
var formPage = template.Must(template.New("form_post").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex"><title>…</title></head>
<body>
<form method="post" action="{{.Action}}">
{{range $name, $values := .Values}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button type="submit">Continue · <span lang="ja">続ける</span></button></noscript>
</form>
<script>{{.Script}}</script>
</body>
</html>
`))

func formPost(action string, values url.Values) (string, error) {
	var page bytes.Buffer
	err := formPage.Execute(&page, struct {
		Action template.URL // registered, and checked when it was: a private-use scheme is allowed
		Values url.Values
		Script template.JS
	}{template.URL(action), values, formScript})
	return page.String(), err
}

// sessionState is OpenID Connect Session Management §3: what the client's
// iframe compares with the state of the browser.
func sessionState(r *realm.Realm, alias, redirect, browserState string) (string, error) {
	u, err := url.Parse(redirect)
	if err != nil {
		return "", err
	}
	var random [16]byte
	if _, err := io.ReadFull(r.Random, random[:]); err != nil {
		return "", err
	}
	salt := hex.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(alias + " " + origin(u) + " " + browserState + " " + salt))
	return hex.EncodeToString(sum[:]) + "." + salt, nil
}

// origin is an address's origin as browsers write it (RFC 6454 §6.2).
func origin(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]; port != "" {
		host = strings.TrimSuffix(host, port)
	}
	return u.Scheme + "://" + host
}
