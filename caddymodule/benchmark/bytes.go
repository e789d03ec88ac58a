package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/gatehouse-auth/gatehouse/engine/handle"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// weighed is how many rows of each kind are written to see what one takes.
const weighed = 20_000

// weighedTables are what a user leaves behind.
var weighedTables = []string{"accounts", "consents", "sessions", "grants", "access_tokens", "refresh_tokens", "handles"}

// measureBytes writes rows of users, as a code flow leaves them, and looks at how
// much each of their tables has grown.
func measureBytes(ctx context.Context, b *bench, _ row) result {
	p, err := pgDatabase(ctx, b, "bytes")
	if missing, ok := err.(notInstalled); ok {
		return result{skipped: string(missing)}
	}
	if err != nil {
		return result{err: err}
	}
	at := p.(pg)
	defer func() { _ = at.remove(context.WithoutCancel(ctx)) }()
	err = withStore(ctx, at, time.Now, func(st store.Store) error { return writeUsers(ctx, st, weighed) })
	if err != nil {
		return result{err: err}
	}
	res := result{numbers: map[string]float64{}}
	var texts []string
	err = at.connected(ctx, func(conn *pgx.Conn) error {
		for _, table := range weighedTables {
			var size int64
			// Of a table in partitions, the partitions.
			err := conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables
				WHERE relname = $1 OR relname LIKE $1 || '\_2%'`, table).Scan(&size)
			if err != nil {
				return err
			}
			bytes := float64(size) / weighed
			texts = append(texts, fmt.Sprintf("%s %.0f", table, bytes))
			res.numbers[table] = bytes
		}
		return nil
	})
	if err != nil {
		return result{err: err}
	}
	res.figure = strings.Join(texts, ", ")
	return res
}

// writeUsers writes what a sign-in of each user at one client leaves: the
// account with an e-mail address, the consent, the session, the grant, its code
// and its tokens.
func writeUsers(ctx context.Context, st store.Store, n int) error {
	service, err := st.EnsureService(ctx, benchIssuer)
	if err != nil {
		return err
	}
	ids, now := handle.NewIDs(time.Now, nil), time.Now().Unix()
	const atOnce = 1000
	var steps []store.Step
	for i := range n {
		steps = append(steps, userSteps(service, ids, i, now)...)
		if i%atOnce == atOnce-1 || i == n-1 {
			if err := st.Write(ctx, steps...); err != nil {
				return err
			}
			steps = steps[:0]
		}
	}
	return nil
}

func userSteps(service model.ID, ids *handle.IDs, i int, now int64) []store.Step {
	subject, scopes := tokens{}.subject(i), []string{"openid", "email", "offline_access", scope}
	grant, session, access := ids.Next(), ids.Next(), ids.Next()
	return []store.Step{
		store.InsertAccount{Account: model.Account{
			Service: service, ID: ids.Next(), Name: fmt.Sprintf("user%09d", i), Key: fmt.Sprintf("user%09d", i), Subject: subject, CreatedAt: now,
			PasswordHash: "$argon2id$v=19$m=19456,t=2,p=1$YXkal6pvp5uvMZRQbEzY1A$bIhPaV/wQ3d+oOUqCC2uSzz2AbFN0RD+6s5uT2T8bJc",
			Claims:       map[string]json.RawMessage{"email": fmt.Appendf(nil, `"user%09d@example.com"`, i)},
		}},
		store.PutConsent{Consent: model.Consent{Service: service, Subject: subject, Client: benchClient, Scopes: scopes, GrantedAt: now}},
		store.InsertSession{Session: model.Session{
			Service: service, ID: session, Subject: subject, AuthTime: now, ExpiresAt: now + 43_200, Hash: someHash(), AMR: []string{"pwd"},
		}},
		store.InsertGrant{Grant: model.Grant{
			Service: service, ID: grant, Client: benchClient, Subject: subject, Scopes: scopes, Session: session, AuthTime: now, ExpiresAt: now + 2_592_000,
		}},
		store.InsertHandle{Handle: model.Handle{
			Service: service, ID: ids.Next(), Kind: model.HandleCode, Grant: grant, Hash: someHash(), ExpiresAt: now + 60, Payload: []byte(strings.Repeat("x", codePayload)),
		}},
		store.InsertAccessToken{Token: model.AccessToken{Service: service, ID: access, Grant: grant, Hash: someHash(), ExpiresAt: now + 3600}},
		store.InsertRefreshToken{Token: model.RefreshToken{Service: service, ID: ids.Next(), Grant: grant, Access: access, Hash: someHash(), ExpiresAt: now + 2_592_000}},
	}
}

// codePayload is about what a code remembers of its request: redirect URI, PKCE,
// nonce.
const codePayload = 200
