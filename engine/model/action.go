package model

// Action tells the front what to do with an engine's response. The names are
// those of the Web API.
type Action string

// The actions. Each operation's documentation says which it returns.
const (
	ActionBadRequest    Action = "BAD_REQUEST"    // 400 with the content
	ActionInvalidClient Action = "INVALID_CLIENT" // 401 with the content
	ActionUnauthorized  Action = "UNAUTHORIZED"   // 401, the content is WWW-Authenticate
	ActionForbidden     Action = "FORBIDDEN"      // 403, the content is WWW-Authenticate
	ActionOK            Action = "OK"             // 200 with the content, if there is any
	ActionJSON          Action = "JSON"           // 200 with the content as JSON
	ActionJWT           Action = "JWT"            // 200 with the content as a JWT, of the media type that the operation has
	ActionCreated       Action = "CREATED"        // 201 with the content as JSON
	ActionUpdated       Action = "UPDATED"        // 200 with the content as JSON
	ActionDeleted       Action = "DELETED"        // 204
	ActionNotFound      Action = "NOT_FOUND"      // 404: the service does not do that
	ActionLocation      Action = "LOCATION"       // 303 to the content
	ActionForm          Action = "FORM"           // 200 with the content as HTML that posts itself
	ActionPassword      Action = "PASSWORD"       // authenticate the user by name and password
	ActionInteraction   Action = "INTERACTION"    // authenticate the user, ask for consent
	ActionNoInteraction Action = "NO_INTERACTION" // answer without showing anything
)
