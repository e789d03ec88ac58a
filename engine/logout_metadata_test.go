package engine_test

import (
	"encoding/json"
	"testing"
)

// Which are the columns of the discovery document that promise all this.
func TestLogoutMetadata(t *testing.T) {
	h := open(t, nil)
	document, err := h.engine.ServiceConfiguration(t.Context(), h.service.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	if err := json.Unmarshal(document, &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"end_session_endpoint": issuer + "/end_session", "check_session_iframe": issuer + "/check_session",
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
		"backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
	} {
		if got[name] != want {
			t.Errorf("%s: %v", name, got[name])
		}
	}
}
