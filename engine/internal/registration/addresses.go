package registration

import (
	"context"
	"encoding/json"
	neturl "net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
)

// checkAddresses holds every address of the draft against what a stranger may
// register, which is less than what an operator may declare: https, and nothing
// else but where a native application is sent back to. A service whose issuer
// is on a loopback host is somebody's development, and takes http on loopback
// hosts everywhere. That there is no javascript:, data: or user information is
// the catalogue's to see (threats.md 20, 33).
func checkAddresses(r *realm.Realm, d *draft) error {
	issuer, err := neturl.Parse(r.Service.Issuer)
	if err != nil {
		return err
	}
	development := model.Loopback(issuer.Hostname())
	for i := range model.ClientSettings {
		s := &model.ClientSettings[i]
		for _, address := range addresses(s, &d.client) {
			if err := d.checkAddress(r, strings.TrimSuffix(s.Metadata, "#"), address, development); err != nil {
				return err
			}
		}
	}
	return d.checkFrontChannel()
}

// addresses are those that a setting holds.
func addresses(s *model.Setting[model.Client], c *model.Client) []string {
	name := strings.TrimSuffix(s.Metadata, "#")
	if !strings.HasSuffix(name, "_uri") && !strings.HasSuffix(name, "_uris") {
		return nil
	}
	switch v := s.Value(c).(type) {
	case []string:
		return v
	case []model.Tagged:
		list := make([]string, len(v))
		for i := range v {
			list[i] = v[i].Value
		}
		return list
	case string:
		if v != "" {
			return []string{v}
		}
	}
	return nil
}

func (d *draft) checkAddress(r *realm.Realm, member, address string, development bool) error {
	u, err := neturl.Parse(address)
	if err != nil {
		return refuse(member, "%q is not an absolute URL", address)
	}
	secure, loopback := u.Scheme == "https", model.Loopback(u.Hostname())
	local := loopback && development && (secure || u.Scheme == "http")
	if member == "initiate_login_uri" && !secure {
		return refuse(member, "%q must use https", address) // whatever the host (OpenID Connect Core §4)
	}
	if member != "redirect_uris" && member != "post_logout_redirect_uris" {
		if !secure && !local {
			return refuse(member, "%q must use https", address)
		}
		return nil
	}
	if !hostPermitted(r.Service.RegistrationPolicy.RedirectHosts, u) {
		return refuse(member, "%q is on a host that may not be registered here", address)
	}
	native := d.client.ApplicationType == model.ApplicationNative
	switch {
	case local:
		return nil
	case native && secure && member == "redirect_uris":
		// OpenID Connect Dynamic Client Registration §2
		return refuse(member, "%q: a native client uses a scheme of its own, or http on a loopback host", address)
	case !native && !secure:
		return refuse(member, "%q must use https; only a native client may use something else", address)
	case !native && member == "redirect_uris" && d.client.Allows(model.GrantImplicit) && loopback:
		return refuse(member, "%q: with implicit a web client must not be on localhost", address) // as above
	}
	return nil
}

// hostPermitted reports whether the policy leaves the host of a redirect
// address. A scheme of an application's own has no host that could be left.
func hostPermitted(policy []string, u *neturl.URL) bool {
	host := strings.ToLower(u.Hostname())
	return len(policy) == 0 || slices.ContainsFunc(policy, func(pattern string) bool {
		if below, wildcard := strings.CutPrefix(pattern, "*"); wildcard {
			return strings.HasSuffix(host, below) && len(host) > len(below)
		}
		return host == pattern
	})
}

// checkFrontChannel: the address that is loaded into a frame has the scheme,
// host and port of a redirect address (OpenID Connect Front-Channel Logout §2).
func (d *draft) checkFrontChannel() error {
	address := d.client.FrontchannelLogoutURI
	if address == "" {
		return nil
	}
	sameOrigin := func(redirect string) bool { return origin(redirect) == origin(address) }
	if !slices.ContainsFunc(d.client.RedirectURIs, sameOrigin) {
		return refuse("frontchannel_logout_uri", "must have the scheme, host and port of one of redirect_uris")
	}
	return nil
}

func origin(address string) string {
	u, err := neturl.Parse(address)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(u.Scheme + "://" + u.Hostname() + ":" + port)
}

var errSector = oautherr.New(oautherr.InvalidClientMetadata, "sector_identifier_uri: cannot be fetched, or is no list of addresses")

// checkSector fetches the sector identifier document, a list that must hold
// every redirect address (OpenID Connect Dynamic Client Registration §5). The
// refusal is one for all that can go wrong on the way: whoever names an address
// is not told what is there (threats.md 21).
func (d *draft) checkSector(ctx context.Context, r *realm.Realm) error {
	address := d.client.SectorIdentifierURI
	if address == "" {
		return nil
	}
	document, err := r.Fetch.Get(ctx, address)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var listed []string
	if err == nil {
		err = json.Unmarshal(document.Body, &listed)
	}
	if err != nil {
		return errSector.Because(err)
	}
	for _, redirect := range d.client.RedirectURIs {
		if !slices.Contains(listed, redirect) {
			return refuse("sector_identifier_uri", "the list there lacks %q of redirect_uris", redirect)
		}
	}
	return nil
}
