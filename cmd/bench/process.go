package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// spending is what a way's front process has used since its start.
type spending struct {
	cpu         time.Duration
	allocations float64 // of a gateway
}

// spent looks at the front process of a way.
func spent(to endpoint) (s spending, err error) {
	if to.front == nil {
		return s, nil
	}
	if s.cpu, err = cpuTime(to.front.Cmd.Process.Pid); err == nil && to.admin != "" {
		s.allocations, _, err = memory(to.admin)
	}
	return s, err
}

// cpuTime is what all threads of a process and of its children have used.
func cpuTime(pid int) (sum time.Duration, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("the system does not show the threads of %d: %w", pid, os.ErrNotExist)
	}
	for _, thread := range threads {
		text, err := os.ReadFile(filepath.Join(thread, "schedstat"))
		if err != nil {
			continue // it has ended
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n)
		children, err := os.ReadFile(filepath.Join(thread, "children"))
		if err != nil {
			continue
		}
		for child := range strings.FieldsSeq(string(children)) {
			id, err := strconv.Atoi(child)
			if err != nil {
				return 0, err
			}
			if more, err := cpuTime(id); err == nil {
				sum += more
			}
		}
	}
	return sum, nil
}

var memoryLine = regexp.MustCompile(`(?m)^go_memstats_(alloc_bytes|mallocs)_total (\S+)$`)

// memory is how many allocations, and of how many bytes, a gateway has made.
func memory(admin string) (count, size float64, err error) {
	resp, err := http.Get(admin + "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, 0, err
	}
	for _, match := range memoryLine.FindAllStringSubmatch(string(text), -1) {
		value, err := strconv.ParseFloat(match[2], 64)
		if err != nil {
			return 0, 0, err
		}
		if match[1] == "mallocs" {
			count = value
		} else {
			size = value
		}
	}
	return count, size, nil
}

var residentLine = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// resident is a process's resident memory, in MiB.
func resident(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	match := residentLine.FindSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
	}
	kilobytes, err := strconv.ParseFloat(string(match[1]), 64)
	return kilobytes / 1024, err
}
