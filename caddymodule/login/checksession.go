package login

import (
	"net/http"
	"strconv"
	"strings"
)

// sessionPage is the page that clients load in an iframe to notice that the
// user has signed out, or that another one has signed in (OpenID Connect
// Session Management §3.2).
type sessionPage struct{ body, policy string }

// checkSessionScript compares a client's session_state with the browser's state
// in the cookie, which has the end of the sign-in after a dot. Without the
// cookie nobody is signed in, unless the browser hides cookies from frames of
// other sites: then nothing is known. It answers nobody but whoever asked, and
// where the browser tells whom the frame is in, nobody else's page.
const checkSessionScript = `(() => {
	const name = "NAME="
	const state = async () => {
		const found = document.cookie.split("; ").find((c) => c.startsWith(name))
		if (found !== undefined) {
			const [value, until] = found.slice(name.length).split(".")
			return Date.now() / 1000 < Number(until) ? value : ""
		}
		if (document.hasStorageAccess && !await document.hasStorageAccess()) throw new Error("no cookies here")
		return ""
	}
	const answer = async (message, origin) => {
		const [, client, sum, salt] = /^(\S+) ([0-9a-f]{64})\.([^\s.]+)$/.exec(message)
		const text = [client, origin, await state(), salt].join(" ")
		const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))
		const hex = Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("")
		return hex === sum ? "unchanged" : "changed"
	}
	addEventListener("message", async (e) => {
		const outside = location.ancestorOrigins
		if (!e.source || e.origin === "null" || outside && outside.length > 0 && outside[0] !== e.origin) return
		const say = await answer(e.data, e.origin).catch(() => "error")
		e.source.postMessage(say, e.origin)
	})
})()`

func newSessionPage(cookie string) sessionPage {
	script := strings.Replace(checkSessionScript, "NAME", cookie, 1)
	return sessionPage{
		body: `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="robots" content="noindex"><title>…</title><script>` + script + `</script></head>
<body></body>
</html>
`,
		// Any site may have it in a frame: that is what it is for.
		policy: "default-src 'none'; base-uri 'none'; form-action 'none'; script-src " + scriptHash(script),
	}
}

func (s *Server) showCheckSession(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Security-Policy", s.watcher.policy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(s.watcher.body)))
	h.Set("Cache-Control", "public, max-age=3600")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	if r.Method != http.MethodHead {
		_, _ = w.Write([]byte(s.watcher.body)) // the browser has gone; there is nobody to tell
	}
	return nil
}
