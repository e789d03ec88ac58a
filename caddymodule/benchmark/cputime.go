package main

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"time"
)

// clockTick is the unit of /proc/stat and /proc/PID/stat; Linux has had no
// other for long.
const clockTick = 10 * time.Millisecond

// processCPU is the processor time that a process has used, 0 where there is
// no /proc. This process is self.
func processCPU(process string) time.Duration {
	text, err := os.ReadFile("/proc/" + process + "/stat")
	if err != nil {
		return 0
	}
	return parseProcessCPU(text)
}

// parseProcessCPU reads utime and stime (proc(5)). The fields are counted from
// the end of the program's name, which may hold anything.
func parseProcessCPU(stat []byte) time.Duration {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	return ticks(fields[11]) + ticks(fields[12])
}

// treeCPU is the processor time of a process and its children, those that have
// ended and were waited for among them, 0 where there is no /proc. A child that
// ends meanwhile may count twice.
func treeCPU(pid int) (used time.Duration) {
	process := "/proc/" + strconv.Itoa(pid)
	children, err := os.ReadFile(process + "/task/" + strconv.Itoa(pid) + "/children")
	if err != nil {
		return 0
	}
	for _, child := range bytes.Fields(children) {
		used += processCPU(string(child))
	}
	stat, err := os.ReadFile(process + "/stat")
	if err != nil {
		return 0
	}
	return used + parseProcessCPU(stat) + parseEndedCPU(stat)
}

// parseEndedCPU reads cutime and cstime (proc(5)).
func parseEndedCPU(stat []byte) time.Duration {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 15 {
		return 0
	}
	return ticks(fields[13]) + ticks(fields[14])
}

// machineIdle is how long the processors have had nothing to do, all together,
// 0 where there is no /proc.
func machineIdle() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	return parseMachineIdle(text)
}

// parseMachineIdle reads idle and iowait of the first line (proc(5)).
func parseMachineIdle(stat []byte) time.Duration {
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	fields := bytes.Fields(line)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return 0
	}
	return ticks(fields[4]) + ticks(fields[5])
}

func ticks(field []byte) time.Duration {
	n, _ := strconv.ParseInt(string(field), 10, 64)
	return time.Duration(n) * clockTick
}

// meter tells what was used between two readings.
type meter struct {
	server    func() time.Duration // nil: there is none
	at        time.Time
	own, idle time.Duration
}

func readMeter(server func() time.Duration) meter {
	m := meter{server: server, at: time.Now(), own: processCPU("self"), idle: machineIdle()}
	if server != nil {
		m.own += server()
	}
	return m
}

// since returns the processor time that this process and the server have used
// since then, and the share of the machine that other programs have.
func (m meter) since() (own time.Duration, others float64) {
	now := readMeter(m.server)
	own = now.own - m.own
	all := now.at.Sub(m.at) * time.Duration(runtime.NumCPU())
	if own == 0 || all <= 0 {
		return 0, 0
	}
	return own, max(0, float64(all-own-(now.idle-m.idle))/float64(all))
}
