package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// peakVariable makes a process one that streams, and says how much memory that took at most.
const peakVariable = "DUOLINK_BENCH_STREAM"

// Peak returns how many bytes of memory a process takes more while it streams a payload than before,
// when it is idle after a small call. The system counts the pages of the process, so what a large
// answer leaves behind in this process does not matter.
func Peak(base, payload string) (int64, error) {
	child := exec.CommandContext(context.Background(), os.Args[0])
	child.Env = append(os.Environ(), peakVariable+"="+base+" "+payload)
	child.Stderr = os.Stderr
	text, err := child.Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// StreamIfAsked is the main function of the process that [Peak] starts. It must be called first in
// every program that calls Peak.
func StreamIfAsked() {
	if os.Getenv(peakVariable) == "" {
		return
	}
	grown, err := stream()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: the stream:", err)
		os.Exit(1)
	}
	fmt.Println(grown)
	os.Exit(0)
}

func stream() (grown int64, err error) {
	base, payload, _ := strings.Cut(os.Getenv(peakVariable), " ")
	client := duolinkStream(base, payload)
	if _, err := duolinkAuth(base, Auth3).Call(context.Background()); err != nil { // what net/http needs at first
		return 0, err
	}
	idle, err := peakOfProcess()
	if err != nil {
		return 0, err
	}
	if _, err := client.Call(context.Background()); err != nil {
		return 0, err
	}
	peak, err := peakOfProcess()
	return peak - idle, err
}

// peakOfProcess is the largest resident memory that this process has had, as Linux tells it.
func peakOfProcess() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kilobytes << 10, err
		}
	}
	return 0, fmt.Errorf("the system does not tell the peak")
}
