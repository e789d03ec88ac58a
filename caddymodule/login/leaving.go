package login

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/gatehouse-auth/gatehouse/engine"
)

// leaveAfter is when a browser without scripts goes on, in seconds: the frames
// have had time, and the user has not lost patience.
const leaveAfter = "5"

// leavingScript goes on when every frame has loaded, which the load event of
// the page waits for, or at the latest after three seconds.
const leavingScript = `(() => {
	const go = () => {
		const next = document.getElementById("next")
		if (next) location.replace(next.href)
	}
	addEventListener("load", go)
	setTimeout(go, 3000)
})()`

var leavingScriptHash = scriptHash(leavingScript)

// scriptHash is the source expression of a script (CSP Level 3 §2.3.1).
func scriptHash(script string) string {
	sum := sha256.Sum256([]byte(script))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// leave shows the page that loads the addresses of clients in frames (OpenID
// Connect Front-Channel Logout §3), and then goes on.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, addresses []string, asked *engine.LogoutResponse) error {
	frames, origins := framesOf(addresses)
	if len(frames) < len(addresses) {
		s.log.Error("some applications have a front-channel logout address that cannot be loaded", zap.String("issuer", s.service.Issuer),
			zap.Int("count", len(addresses)-len(frames)))
	}
	v := leavingView{
		common: s.common(r, "signout.done"), Frames: frames, Script: leavingScript,
		Next:   template.URL(asked.PostLogoutRedirectURI), // registered, and checked when it was: a private-use scheme is allowed
		Grants: s.paths.Grants,
	}
	if v.Next != "" {
		w.Header().Set("Refresh", leaveAfter+"; url="+asked.PostLogoutRedirectURI)
		if asked.Client != nil {
			v.Client = s.clientView(r, asked.Client.ID)
		}
	}
	policy := policy(false) + "; script-src " + leavingScriptHash
	if len(origins) > 0 {
		policy += "; frame-src " + strings.Join(origins, " ")
	}
	return s.renderUnder(w, r, http.StatusOK, pageLeaving, v, policy)
}

// sourcePattern is a host with its port as a policy may have it (CSP Level 3
// §2.3.1). What else a URL may have for a host would mean something there: a
// wildcard, the next directive.
var sourcePattern = regexp.MustCompile(`^[A-Za-z0-9.-]+(:[0-9]+)?$`)

// framesOf returns the addresses that can be loaded, and their origins.
func framesOf(addresses []string) (frames, origins []string) {
	for _, address := range addresses {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || !sourcePattern.MatchString(u.Host) {
			continue
		}
		frames = append(frames, address)
		if origin := u.Scheme + "://" + strings.ToLower(u.Host); !slices.Contains(origins, origin) {
			origins = append(origins, origin)
		}
	}
	return frames, origins
}
