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
	ActionLocation      Action = "LOCATION"       // 303 to the content
	ActionInteraction   Action = "INTERACTION"    // authenticate the user, ask for consent
	ActionNoInteraction Action = "NO_INTERACTION" // answer without showing anything
)
