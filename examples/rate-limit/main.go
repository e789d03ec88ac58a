// A Caddy with Gatehouse and a rate limiter in it, as xcaddy would build it
// with --with github.com/mholt/caddy-ratelimit.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/mholt/caddy-ratelimit"

	_ "github.com/gatehouse-auth/gatehouse/caddymodule"
)

func main() { caddycmd.Main() }
