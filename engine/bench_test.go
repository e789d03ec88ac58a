package engine_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/engine"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store/sqlite"
)

// benchEngine is an engine on a file, with the real clock and no observer.
func benchEngine(b *testing.B, settings model.Settings) (*engine.Engine, model.ID) {
	b.Helper()
	all := model.Settings{"issuer": raw(issuer), "supportedScopes": raw([]model.Scope{{Name: "orders:read"}})}
	for property, value := range settings {
		all[property] = value
	}
	service, err := model.NewService(all)
	if err != nil {
		b.Fatal(err)
	}
	client, err := model.NewClient("service", model.Settings{"clientSecret": raw("service-secret"), "grantTypes": raw([]string{"CLIENT_CREDENTIALS"})})
	if err != nil {
		b.Fatal(err)
	}
	st, err := sqlite.Open(b.Context(), sqlite.Options{Path: filepath.Join(b.TempDir(), "g.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	e, err := engine.New(b.Context(), engine.Options{Store: st, Services: []engine.Declaration{{Service: service, Clients: []model.Client{client}}}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Close)
	opened, _ := e.Service(issuer)
	return e, opened.ID
}

const benchRequest = "grant_type=client_credentials&scope=orders%3Aread"

func benchToken(b *testing.B, e *engine.Engine, service model.ID) string {
	resp, err := e.Token(context.Background(), service, engine.TokenRequest{Parameters: benchRequest, Basic: basic("service")})
	if err != nil || resp.Action != model.ActionOK {
		b.Error(resp, err)
		return ""
	}
	return resp.AccessToken
}

// Issuing, durable, with 64 callers; the clients' share of HTTP is not in it.
func BenchmarkClientCredentials(b *testing.B) {
	for _, alg := range []string{"", "ES256", "EdDSA", "RS256"} {
		name, settings := "opaque", model.Settings{}
		if alg != "" {
			name, settings["accessTokenSignAlg"] = alg, raw(alg)
		}
		b.Run(name, func(b *testing.B) {
			e, service := benchEngine(b, settings)
			b.SetParallelism(32)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					benchToken(b, e, service)
				}
			})
		})
	}
}

func BenchmarkIntrospection(b *testing.B) {
	for _, alg := range []string{"", "ES256"} {
		name, settings := "opaque", model.Settings{}
		if alg != "" {
			name, settings["accessTokenSignAlg"] = alg, raw(alg)
		}
		b.Run(name, func(b *testing.B) {
			e, service := benchEngine(b, settings)
			token := benchToken(b, e, service)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					resp, err := e.Introspection(context.Background(), service, engine.IntrospectionRequest{Token: token})
					if err != nil || !resp.Usable {
						b.Fatal(resp, err)
					}
				}
			})
		})
	}
}
