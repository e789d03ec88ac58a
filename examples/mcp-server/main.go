// A Model Context Protocol server with a notice board: the part of Streamable
// HTTP (revision 2025-11-25) that needs no session and no stream. It knows
// nothing of tokens: who is calling stands in the header X-User.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// versions are the revisions of the protocol that are spoken, latest first.
var versions = []string{"2025-11-25", "2025-06-18", "2025-03-26"}

const (
	maxMessage = 64 << 10 // bytes
	maxNotices = 100      // older ones are taken off
)

type object = map[string]any

// message is a request or a notification (JSON-RPC 2.0 §4). What has no id
// wants no answer.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		ProtocolVersion string `json:"protocolVersion"`
		Name            string `json:"name"`
		Arguments       struct {
			Text string `json:"text"`
		} `json:"arguments"`
	} `json:"params"`
}

// fault is an error of JSON-RPC 2.0 (§5.1).
type fault struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

var (
	readNotices = object{"name": "read_notices", "description": "Reads the notice board.", "inputSchema": object{"type": "object"}}
	postNotice  = object{"name": "post_notice", "description": "Posts a notice.", "inputSchema": object{
		"type": "object", "properties": object{"text": object{"type": "string"}}, "required": []string{"text"},
	}}
)

// board is a notice board.
type board struct {
	mu      sync.Mutex
	notices []string
}

func main() {
	b := &board{notices: []string{"Tea is at four."}}
	http.Handle("POST /mcp", b.serve(readNotices))
	http.Handle("POST /mcp/admin", b.serve(readNotices, postNotice))
	log.Fatal(http.ListenAndServe("127.0.0.1:8162", nil))
}

// serve answers messages at an address that has these tools.
func (b *board) serve(tools ...object) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m message
		if version := r.Header.Get("Mcp-Protocol-Version"); version != "" && !slices.Contains(versions, version) {
			http.Error(w, "unknown protocol version", http.StatusBadRequest)
			return
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxMessage)).Decode(&m); err != nil {
			http.Error(w, "not a message", http.StatusBadRequest)
			return
		}
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		answer := object{"jsonrpc": "2.0", "id": m.ID}
		if result, err := b.answer(&m, r.Header.Get("X-User"), tools); err != nil {
			answer["error"] = err
		} else {
			answer["result"] = result
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the client may be gone
	})
}

func (b *board) answer(m *message, user string, tools []object) (object, *fault) {
	switch m.Method {
	case "initialize":
		version := m.Params.ProtocolVersion
		if !slices.Contains(versions, version) {
			version = versions[0]
		}
		return object{
			"protocolVersion": version, "capabilities": object{"tools": object{}},
			"serverInfo": object{"name": "notices", "version": "1.0.0"},
		}, nil
	case "ping":
		return object{}, nil
	case "tools/list":
		return object{"tools": tools}, nil
	case "tools/call":
		if !slices.ContainsFunc(tools, func(t object) bool { return t["name"] == m.Params.Name }) {
			return nil, &fault{-32602, "no such tool"}
		}
		text := b.call(m.Params.Name, m.Params.Arguments.Text, user)
		return object{"content": []object{{"type": "text", "text": text}}}, nil
	}
	return nil, &fault{-32601, "no such method"}
}

// call uses a tool and returns what is on the board then.
func (b *board) call(tool, text, user string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if tool == "post_notice" {
		b.notices = append(b.notices, text+" ("+user+")")
		b.notices = b.notices[max(0, len(b.notices)-maxNotices):]
	}
	return strings.Join(b.notices, "\n")
}
