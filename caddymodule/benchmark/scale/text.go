package main

// Operation is a measured one, as the page shows it.
type Operation struct {
	Name           string
	Node, Database float64 // seconds of a processor
	WAL            float64 // bytes
	Written, Read  float64 // rows
	Rate, Lite     float64 // a second, here and on SQLite
}

// Operations are those of the first table.
func (m *Model) Operations() []Operation {
	var list []Operation
	for _, of := range [][2]string{
		{"postgres", "client_credentials, opaque"}, {"postgres-refresh", "refresh, opaque"},
		{"postgres-code-flow", "code flow: authorize, token, userinfo"}, {"postgres-sign-in", "code flow with a sign-in by password"},
		{"postgres-quick-sign-in", "the same by a hash that costs next to nothing"},
		{"postgres-introspection", "introspection, not cached"}, {"postgres-introspection-cached", "request through a gateway, cached"},
	} {
		row := of[0]
		list = append(list, Operation{
			Name: of[1], Node: m.Node(row), Database: m.Database(row), WAL: m.Wrote(row, "wal_bytes"),
			Written: m.Wrote(row, "rows_written"), Read: m.Of(row, "rows_read"), Rate: m.Of(row, "rate"), Lite: m.Of(row, "sqlite_rate"),
		})
	}
	return list
}

// Every is how many seconds lie between two requests of a user who is there.
func (m *Model) Every() float64 { return 1 / m.PerUser }

// SignInEvery is how many days lie between two sign-ins of a user.
func (m *Model) SignInEvery() float64 { return 1 / m.SignInsADay }

// TokenMinutes is how long an access token is good.
func (m *Model) TokenMinutes() float64 { return m.TokenLife / 60 }

// RefreshDays is how long a refresh token is good.
func (m *Model) RefreshDays() float64 { return m.RefreshLife / 86400 }

// Together is how many writes one transaction takes at most.
func (m *Model) Together() float64 { return mostTogether }

// Argon2idShare is that of a sign-in's processor time in the node.
func (m *Model) Argon2idShare() float64 { return m.Argon2id() / m.Node("postgres-sign-in") }

// PasswordCores is how many cores passwords take at the peak.
func (m *Model) PasswordCores() float64 { return m.SignIns() * m.Argon2id() }

// WALDay is what a day of peaks would write, in bytes.
func (m *Model) WALDay() float64 { return m.Sum().WAL * 86400 }

// RegionUsers is how many users have their home in a region.
func (m *Model) RegionUsers() float64 { return m.Users / m.Regions }

// RegionChecks is how many requests with a token a region sees a second.
func (m *Model) RegionChecks() float64 { return m.Checks / m.Regions }

// Uncached is what the worst way to run the gateways takes.
func (m *Model) Uncached() Caching { return m.Cachings()[0] }
