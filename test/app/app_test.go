package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/linkspan/linkspan/test/app/traffic"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for conditions.
const patience = 30 * time.Second

// running is a server, as a command.
type running struct {
	name  string
	lines chan string
	stop  context.CancelFunc
	code  chan int
}

// Write implements io.Writer, for the server's standard error.
func (r *running) Write(p []byte) (int, error) {
	r.lines <- string(p)
	return len(p), nil
}

// begin runs a server until the test ends, or end is called. It gives its URL.
func begin(t *testing.T, args ...string) (*running, string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	r := &running{name: args[0], lines: make(chan string, 1000), stop: stop, code: make(chan int, 1)}
	go func() { r.code <- run(ctx, r, r, append(args, "--drain=0s", "--pod="+args[0]+"-1")) }()
	t.Cleanup(func() { r.end(t) })
	for late := time.After(patience); ; {
		select {
		case line := <-r.lines:
			if _, address, ok := strings.Cut(strings.TrimSpace(line), " listens at "); ok {
				return r, "http://" + address
			}
			t.Log(line)
		case <-late:
			t.Fatalf("%s does not listen", r.name)
		}
	}
}

func (r *running) end(t *testing.T) {
	t.Helper()
	if r.stop == nil {
		return
	}
	r.stop()
	r.stop = nil
	if code := <-r.code; code != 0 {
		t.Errorf("%s ends with %d", r.name, code)
	}
}

// fetched is what `app fetch` prints of an answer's body.
func fetched(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), &out, &errs, append([]string{"fetch", "--body"}, args...)); code != 0 {
		t.Fatalf("fetch %v ends with %d: %s", args, code, &errs)
	}
	return out.Bytes()
}

func read[T any](t *testing.T, at string) (got T) {
	t.Helper()
	if err := json.Unmarshal(fetched(t, at), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// expect waits until the meter's report is as it must be.
func expect(t *testing.T, meter string, check func(traffic.Report) error) traffic.Report {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); ; {
		report := read[traffic.Report](t, meter+"/report")
		err := check(report)
		if err == nil {
			return report
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%v:\n%+v", err, report)
		}
	}
}

// more wants so many more successes after the last mark, or failures.
func more(succeeded, failed int) func(traffic.Report) error {
	return func(r traffic.Report) error {
		if len(r.Marks) == 0 {
			return errors.New("there is no mark")
		}
		last := r.Marks[len(r.Marks)-1]
		if last.Succeeded < succeeded || last.Failed < failed {
			return fmt.Errorf("since %s %d votes succeeded and %d failed, want %d and %d", last.Name, last.Succeeded, last.Failed, succeeded, failed)
		}
		return nil
	}
}

// somewhere is a loopback address that nobody else is likely to use, so that its port stays free while its server is gone.
func somewhere() string {
	return fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(250), 1+rand.IntN(250))
}

// "I kill a backend, and the meter tells me how many votes failed, for how long, and that none was counted twice."
func TestTheMeterTellsOfAnOutage(t *testing.T) {
	t.Parallel()
	voting, votingURL := begin(t, "voting", "--listen="+somewhere(), "--cluster=east")
	_, emojiURL := begin(t, "emoji", "--listen=127.0.0.1:0", "--cluster=east")
	_, webURL := begin(t, "web", "--listen=127.0.0.1:0", "--cluster=west", "--emoji="+emojiURL, "--voting="+votingURL)
	_, meter := begin(t, "traffic", "--listen=127.0.0.1:0", "--cluster=west", "--rate=100", "--target="+webURL+"/vote", "--results="+votingURL)

	fetched(t, meter+"/mark?name="+url.QueryEscape("all is well"))
	expect(t, meter, more(20, 0))
	votes := read[traffic.Votes](t, meter+"/votes")
	if votes.Acknowledged < 20 || votes.Lost+votes.Doubled+votes.Gone+votes.Unknown+votes.Unacknowledged > 0 {
		t.Errorf("the votes are %+v, want all acknowledged ones counted once", votes)
	}

	fetched(t, meter+"/mark?name=kill")
	voting.end(t)
	expect(t, meter, more(0, 20))
	fetched(t, meter+"/mark?name=restart")
	begin(t, "voting", "--listen="+strings.TrimPrefix(votingURL, "http://"), "--cluster=north")
	report := expect(t, meter, more(20, 0))

	names := []string{}
	for _, mark := range report.Marks {
		names = append(names, mark.Name)
	}
	if want := []string{"all is well", "kill", "restart"}; !slices.Equal(names, want) {
		t.Errorf("marks are %q, want %q", names, want)
	}
	kill, restart := report.Marks[1], report.Marks[2]
	if kill.Before != "east" || kill.Failures["502 voting refused"] < 10 || kill.Moved != nil {
		t.Errorf("the kill is told as %+v", kill)
	}
	if restart.FirstSuccess == nil || restart.Before != "east" || restart.Moved == nil || restart.MovedTo != "north" {
		t.Errorf("the restart is told as %+v", restart)
	}
	if len(report.Switches) != 1 || report.Current != "north" || len(report.Outages) == 0 || report.Longest.Seconds <= 0 {
		t.Errorf("the report is %+v", report)
	}
	if votes = read[traffic.Votes](t, meter+"/votes"); votes.Gone < 20 || votes.Lost+votes.Doubled > 0 {
		t.Errorf("the votes are %+v, want those from before the restart gone, and none lost", votes)
	}

	fetched(t, "--method=POST", meter+"/reset")
	if after := read[traffic.Report](t, meter+"/report"); len(after.Marks) > 0 || after.Run == report.Run {
		t.Errorf("after the reset the report is %+v", after)
	}
}

// Instances of voting find each other by a name whose addresses are theirs.
func TestInstancesOfVotingShareWhatTheyCount(t *testing.T) {
	t.Parallel()
	_, one := begin(t, "voting", "--listen="+somewhere(), "--cluster=east")
	// An address is a name that resolves to itself.
	_, two := begin(t, "voting", "--listen=127.0.0.1:0", "--cluster=east", "--peers="+strings.TrimPrefix(one, "http://"))
	fetched(t, "--method=POST", one+"/vote?id=v-1&choice=joy")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for late := time.After(patience); !strings.Contains(string(fetched(t, two+"/results?ids=v-")), `"v-1":1`); {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the second one does not hear of the vote")
		}
	}
	fetched(t, two+"/ready")
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no command":            {nil, 0, "app [command]"},
		"a mistyped one":        {[]string{"vot"}, 1, `app has no command "vot"`},
		"half of one":           {[]string{"echo-udp"}, 0, "app echo-udp [command]"},
		"no cluster":            {[]string{"web"}, 1, "--cluster is missing"},
		"no port":               {[]string{"emoji", "--cluster=c", "--listen=8080"}, 1, `--listen is "8080"`},
		"a backend of no kind":  {[]string{"web", "--cluster=c", "--emoji=emoji-svc"}, 1, `--emoji is "emoji-svc"`},
		"no rate":               {[]string{"traffic", "--cluster=c", "--rate=0"}, 1, "--rate is 0"},
		"peers without a port":  {[]string{"voting", "--cluster=c", "--peers=voting"}, 1, `--peers is "voting"`},
		"no server":             {[]string{"greets-first", "call"}, 1, `--address is ""`},
		"no URL":                {[]string{"grpc", "call", "--url=grpc-svc:9002"}, 1, "--url is"},
		"no bytes":              {[]string{"blob", "call", "--url=http://b", "--bytes=0"}, 1, "--bytes is 0"},
		"no packets":            {[]string{"echo-udp", "call", "--address=a:1", "--count=0"}, 1, "--count is 0"},
		"nothing to fetch":      {[]string{"fetch"}, 1, "app fetch takes a URL, such as"},
		"a header that is none": {[]string{"fetch", "-H", "web", "http://127.0.0.1:1/"}, 1, `--header is "web"`},
		"nobody is there":       {[]string{"fetch", "http://127.0.0.1:1/"}, 1, "refused: "},
		"two names":             {[]string{"resolve", "a", "b"}, 1, "app resolve takes a name"},
		"an argument":           {[]string{"sleep", "10"}, 1, `unexpected argument "10"`},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), &out, &errs, c.args)
		if said := out.String() + errs.String(); code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%s: code %d, says %q, want %d and %q", name, code, said, c.code, c.says)
		}
	}
}

// Every command explains itself, and each of its flags.
func TestEveryCommandHasHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"web"}, {"emoji"}, {"voting"}, {"traffic"}, {"echo-udp", "serve"}, {"echo-udp", "call"}, {"greets-first", "serve"},
		{"greets-first", "call"}, {"grpc", "serve"}, {"grpc", "call"}, {"blob", "serve"}, {"blob", "call"}, {"fetch"}, {"resolve"}, {"sleep"},
	} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), &out, &errs, append(args, "--help")); code != 0 || !strings.Contains(out.String(), "app "+strings.Join(args, " ")) {
			t.Errorf("%v: code %d, %s%s", args, code, &out, &errs)
		}
	}
}

func TestFetchPrintsTheAnswer(t *testing.T) {
	t.Parallel()
	_, emoji := begin(t, "emoji", "--listen=127.0.0.1:0", "--cluster=east")
	var out, errs bytes.Buffer
	if code := run(t.Context(), &out, &errs, []string{"fetch", emoji + "/emojis/joy"}); code != 0 {
		t.Errorf("code %d: %s", code, &errs)
	}
	for _, want := range []string{"HTTP/1.1 200 OK\n", "X-App-Cluster: east\n", "\n\n{\"code\":\"joy\""} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if code := run(t.Context(), &out, &errs, []string{"fetch", emoji + "/emojis/none"}); code != 1 || !strings.Contains(errs.String(), "404") {
		t.Errorf("what is not there: code %d, %s", code, &errs)
	}
	out.Reset()
	if code := run(t.Context(), &out, os.Stderr, []string{"resolve", "127.0.0.1"}); code != 0 || out.String() != "127.0.0.1\n" {
		t.Errorf("resolve: code %d, %q", code, &out)
	}
}
