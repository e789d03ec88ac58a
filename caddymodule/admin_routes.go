package caddymodule

import (
	"net/http"
	"slices"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/caddymodule/bearer"
)

// guardedRoute is a gatehouse_bearer, and which requests it sees.
type guardedRoute struct {
	Server string   `json:"server"`
	Listen []string `json:"listen"`
	// Match holds what the routes around the handler match, outermost first.
	// Of each, one set must.
	Match  []any `json:"match,omitempty"`
	Policy any   `json:"policy"`
}

// routes shows what each guarded route asks of a token.
func (a *adminAPI) routes(*http.Request) (any, error) {
	module, err := a.app.ctx.AppIfConfigured("http")
	list := []guardedRoute{}
	if err != nil {
		return list, nil // a gateway without a site
	}
	servers := module.(*caddyhttp.App).Servers
	names := make([]string, 0, len(servers))
	for name := range servers {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		place := guardedRoute{Server: name, Listen: servers[name].Listen}
		list = append(list, place.find(servers[name].Routes)...)
	}
	return list, nil
}

// find returns the guarded routes among some and below them.
func (place guardedRoute) find(routes caddyhttp.RouteList) (list []guardedRoute) {
	for _, route := range routes {
		here := place
		if len(route.MatcherSets) > 0 {
			here.Match = append(slices.Clip(place.Match), route.MatcherSets)
		}
		for _, handler := range route.Handlers {
			switch handler := handler.(type) {
			case *bearer.Handler:
				guarded := here
				guarded.Policy = handler.Describe()
				list = append(list, guarded)
			case *caddyhttp.Subroute:
				list = append(list, here.find(handler.Routes)...)
			}
		}
	}
	return list
}
