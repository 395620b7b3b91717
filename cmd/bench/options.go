package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"
)

// bareWay is the server that does nothing but answer: this program with -bare.
const bareWay = "net/http"

// options are the flags.
type options struct {
	rounds   int
	sample   time.Duration // at least, of one measure by one way
	blobSize int           // bytes
	gobench  time.Duration // -benchtime of the Go benchmarks; 0: none
	tuned    bool
	strict   bool
	only     string

	base, dockerAuth, zot, page string

	bare []string // not to measure, but to be the server of net/http: see serveBare
}

// parse reads the flags; where they are wrong it has said so.
func parse(arguments []string, messages io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	set.SetOutput(messages)
	set.IntVar(&o.rounds, "rounds", 7, "samples of each measure by each way")
	set.DurationVar(&o.sample, "sample", time.Second, "least `time` of one sample")
	mebibytes := set.Int("blob", 128, "size of the blob in `MiB`")
	set.StringVar(&o.base, "base", "", "hold the gateway against that of this `commit`")
	set.StringVar(&o.dockerAuth, "docker-auth", "", "measure this `binary` of docker_auth too")
	set.StringVar(&o.zot, "zot", "", "measure this `binary` of zot too")
	set.StringVar(&o.page, "page", "", "write tables and curves into this `folder`, as performance.md and SVG files")
	set.DurationVar(&o.gobench, "gobench", time.Second, "`time` of each Go benchmark; 0: none")
	set.BoolVar(&o.tuned, "tuned", false, "give nginx buffers of 256 KiB")
	set.StringVar(&o.only, "only", "", "take only measures whose line begins with this `text` (\"blob push MB/s TLS\")")
	bare := set.String("bare", "", "be a server of net/http: `ADDRESS,ADDRESS,UPSTREAM,NAME` of clear text, of TLS, and of NAME.crt and NAME.key; for this program's own use")
	set.BoolVar(&o.strict, "strict", false, "status 1 where a target is missed")
	if err := set.Parse(arguments); err != nil {
		return o, err
	}
	o.blobSize = *mebibytes << 20
	if *bare != "" {
		o.bare = strings.Split(*bare, ",")
	}
	if set.NArg() > 0 || len(o.bare) != 0 && len(o.bare) != 4 || o.rounds < 1 || *mebibytes < 1 || o.sample < 0 {
		fmt.Fprintln(messages, "Example: go run ./cmd/bench -rounds 9 -blob 256")
		set.Usage()
		return o, errors.New("usage")
	}
	return o, nil
}
