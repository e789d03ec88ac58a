package admission

import (
	"cmp"
	"time"
)

// Arriving is what metrics call the room of an entrance.
const Arriving = "arriving"

const (
	// arrivingBytes is 2000 requests of whose bodies hardly anything has come, or 60
	// with the largest body that a service can allow.
	arrivingBytes = 64 << 20
	// finishingPart is the part of the people's places that the lane of those has
	// whose people have seen their last page. Their requests are shorter than pages.
	finishingPart = 4
)

// Options are the settings of an entrance. They are comparable.
type Options struct {
	People, Machines Limits
	// Patience is how long a request waits for a place. Default: DefaultPatience.
	Patience time.Duration
}

// Entrance is all ways into a server, which are not in each other's way.
type Entrance struct {
	// Arrivals is where bodies arrive, whatever lane they are for.
	Arrivals *Room
	// People see pages. Machines want tokens, and ask about them.
	People, Machines *Lane
	// Finishing is for machines that finish what people have begun, who wait
	// for it. It is not the people's own lane, lest made-up codes fill that.
	Finishing *Lane
}

// NewEntrance makes an entrance.
func NewEntrance(o Options) *Entrance {
	patience := cmp.Or(o.Patience, DefaultPatience)
	people := o.People.filled()
	finishing := Limits{AtOnce: max(1, people.AtOnce/finishingPart), Waiting: max(1, people.Waiting/finishingPart)}
	return &Entrance{
		Arrivals:  NewRoom(arrivingBytes),
		People:    newLane("people", people, patience),
		Machines:  newLane("machines", o.Machines.filled(), patience),
		Finishing: newLane("finishing", finishing, patience),
	}
}

// Lanes are the lanes of an entrance.
func (e *Entrance) Lanes() []*Lane { return []*Lane{e.People, e.Machines, e.Finishing} }
