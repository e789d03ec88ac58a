package registration

import (
	"context"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/engine/internal/oautherr"
	"github.com/gatehouse-auth/gatehouse/engine/internal/realm"
	"github.com/gatehouse-auth/gatehouse/engine/model"
	"github.com/gatehouse-auth/gatehouse/engine/store"
)

// Request is a request to the client registration endpoint (RFC 7591 §3.1), or
// to the client configuration endpoint of one client (RFC 7592 §2).
type Request struct {
	// JSON is the body: client metadata.
	JSON string
	// Token is the bearer token presented: an initial access token to
	// register, the client's registration access token for the rest.
	Token string
	// Developer is whom the developer authentication callback has vouched for,
	// empty when it was not asked.
	Developer string
	// ClientID is the client that is read, updated or deleted.
	ClientID string
}

// Response says what to answer.
//
//   - CREATED (201), OK (200), UPDATED (200): the content is the client
//     information response (RFC 7591 §3.2.1) as JSON. It holds secrets.
//   - DELETED (204): there is no content.
//   - BAD_REQUEST (400): the content is the error as JSON (RFC 7591 §3.2.2).
//   - UNAUTHORIZED (401): the content is the error as JSON, to be sent with
//     WWW-Authenticate: Bearer (RFC 6750 §3).
//   - NOT_FOUND (404): the service lets no clients register.
type Response struct {
	Action          model.Action
	ResponseContent string
}

// Register adds a client (RFC 7591 §3). The error is the store's.
func Register(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	return answer(r, "registration", "", func() (*Response, error) {
		developer, err := admit(r, req)
		if err != nil {
			return nil, err
		}
		body, err := parse(r, req.JSON)
		if err != nil {
			return nil, err
		}
		d, err := prepare(ctx, r, body)
		if err != nil {
			return nil, err
		}
		return create(ctx, r, d, developer)
	})
}

// Get returns what a client has registered (RFC 7592 §2.1).
func Get(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	return answer(r, "registration/get", req.ClientID, func() (*Response, error) {
		row, err := authenticate(ctx, r, req)
		if err != nil {
			return nil, err
		}
		k, err := r.OpenSecrets(&row)
		if err != nil {
			return nil, err
		}
		return inform(r, model.ActionOK, &row, k, req.Token)
	})
}

// Update replaces what a client has registered (RFC 7592 §2.2).
func Update(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	return answer(r, "registration/update", req.ClientID, func() (*Response, error) {
		row, err := authenticate(ctx, r, req)
		if err != nil {
			return nil, err
		}
		body, err := parse(r, req.JSON)
		if err != nil {
			return nil, err
		}
		if err := checkReplacement(body, row.Alias); err != nil {
			return nil, err
		}
		d, err := prepare(ctx, r, body)
		if err != nil {
			return nil, err
		}
		return replace(ctx, r, d, row, req, body["client_secret"])
	})
}

// Delete removes a client together with its grants, and so with all its tokens
// (RFC 7592 §2.3). Its client_id is never given to another.
func Delete(ctx context.Context, r *realm.Realm, req Request) (*Response, error) {
	return answer(r, "registration/delete", req.ClientID, func() (*Response, error) {
		row, err := authenticate(ctx, r, req)
		if err != nil {
			return nil, err
		}
		err = r.Store.Write(ctx,
			store.DeleteClient{Service: row.Service, ID: row.ID}, store.RevokeGrants{Service: row.Service, Client: row.ID})
		if errors.Is(err, store.ErrNotFound) {
			return nil, errToken.Because(errors.New("the client has gone meanwhile"))
		}
		if err != nil {
			return nil, err
		}
		report(r, "registration/delete", row.Alias)
		return &Response{Action: model.ActionDeleted}, nil
	})
}

// answer turns what an operation comes to into a response, and reports it.
func answer(r *realm.Realm, operation, alias string, process func() (*Response, error)) (*Response, error) {
	if !r.Service.DynamicRegistrationSupported {
		return &Response{Action: model.ActionNotFound}, nil
	}
	resp, err := process()
	var refusal *oautherr.Error
	if !errors.As(err, &refusal) {
		return resp, err
	}
	var client *model.Client
	if alias != "" && refusal.Code != oautherr.InvalidToken {
		client = &model.Client{Alias: alias} // it has proved who it is
	}
	resp = &Response{}
	resp.Action, resp.ResponseContent = r.Refuse(operation, "", client, refusal)
	if refusal.Code == oautherr.InvalidToken {
		resp.Action = model.ActionUnauthorized
	}
	return resp, nil
}

// report tells of a client that registered, changed or deleted itself.
func report(r *realm.Realm, operation, alias string) {
	r.Report(model.Event{Kind: model.EventRegistered, Operation: operation, Client: alias})
}

// refuse is a refusal that names the member at fault (RFC 7591 §3.2.2).
func refuse(member, format string, args ...any) error {
	code := oautherr.InvalidClientMetadata
	if member == "redirect_uris" {
		code = oautherr.InvalidRedirectURI
	}
	return oautherr.New(code, short(member+": "+fmt.Sprintf(format, args...)))
}

// maxDescription bounds a description, in bytes.
const maxDescription = 300

// short makes a description fit for an answer and for the log. What it quotes
// may be long; the member is before that, and the reason after it.
func short(text string) string {
	if len(text) > maxDescription {
		text = text[:maxDescription/2] + "..." + text[len(text)-maxDescription/2:]
	}
	return oautherr.Text(text)
}
