package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// child is a process that this one started and stops.
type child struct {
	name   string
	cmd    *exec.Cmd
	log    *os.File
	cancel context.CancelFunc
	exited chan struct{}
	err    error // once it has exited
}

// startChild starts a program in a folder. It is asked to end when ctx ends,
// and made to a little later.
func startChild(ctx context.Context, folder string, env []string, name string, args ...string) (*child, error) {
	return startChildAs(ctx, nil, folder, env, name, args...)
}

// startChildAs starts a program as another user, unless as is nil.
func startChildAs(ctx context.Context, as *syscall.Credential, folder string, env []string, name string, args ...string) (*child, error) {
	log, err := os.CreateTemp(folder, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.SysProcAttr = folder, &syscall.SysProcAttr{Credential: as}
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 15 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		log.Close()
		return nil, err
	}
	c := &child{name: filepath.Base(name), cmd: cmd, log: log, cancel: cancel, exited: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		close(c.exited)
	}()
	return c, nil
}

// stop ends the process, by its id, and waits until it has ended.
func (c *child) stop() {
	c.cancel()
	<-c.exited
	c.log.Close()
}

// await waits until probe succeeds.
func (c *child) await(probe func() error) error {
	deadline := time.Now().Add(startTimeout)
	for {
		err := probe()
		if err == nil {
			return nil
		}
		select {
		case <-c.exited:
			defer c.stop()
			return fmt.Errorf("%s ended: %v\n%s", c.name, c.err, c.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			defer c.stop()
			return fmt.Errorf("%s does not serve: %w\n%s", c.name, err, c.lastWords())
		}
	}
}

// lastWords is the end of what the process has printed.
func (c *child) lastWords() []byte {
	text, _ := os.ReadFile(c.log.Name())
	return text[max(0, len(text)-2000):]
}

// cpu is the processor time that the process has used.
func (c *child) cpu() time.Duration { return processCPU(strconv.Itoa(c.cmd.Process.Pid)) }
