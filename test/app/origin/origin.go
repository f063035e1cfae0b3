package origin

import (
	"errors"
	"net/http"
	"os"

	"github.com/spf13/pflag"
)

// Headers of answers.
const (
	// Cluster and Pod are of the program that answers.
	Cluster = "X-App-Cluster"
	Pod     = "X-App-Pod"
	// EmojiCluster, EmojiPod, VotingCluster and VotingPod are what web hands on of the backends that it asked.
	EmojiCluster  = "X-App-Emoji-Cluster"
	EmojiPod      = "X-App-Emoji-Pod"
	VotingCluster = "X-App-Voting-Cluster"
	VotingPod     = "X-App-Voting-Pod"
	// Epoch names the memory that a vote was counted in. It is another one after every instance was gone at a time.
	Epoch = "X-App-Epoch"
	// Failed says which backend web got no answer from, and the kind of the failure, such as "voting timeout".
	Failed = "X-App-Failed"
)

// Connection is a header of requests. With the value Fresh, web asks its backends on new connections: those that it
// keeps lead to the instances that they once led to, whatever has become of the Service.
const (
	Connection = "X-App-Connection"
	Fresh      = "new"
)

// Identity is who answers.
type Identity struct {
	Cluster string `json:"cluster"`
	Pod     string `json:"pod"`
}

// Bind adds a flag for each field.
func (i *Identity) Bind(fs *pflag.FlagSet) {
	host, _ := os.Hostname() // what cannot be told stays empty, and Validate says so
	fs.StringVar(&i.Cluster, "cluster", "", "name of the cluster that this runs in, for the answers")
	fs.StringVar(&i.Pod, "pod", host, "name of this instance, for the answers; the host's name unless given")
}

// Validate names the field that is wrong.
func (i Identity) Validate() error {
	if i.Cluster == "" {
		return errors.New("--cluster is missing: answers name the cluster that they come from")
	}
	if i.Pod == "" {
		return errors.New("--pod is empty: answers name the instance that they come from")
	}
	return nil
}

// Sign puts the identity into an answer.
func (i Identity) Sign(h http.Header) {
	h.Set(Cluster, i.Cluster)
	h.Set(Pod, i.Pod)
}

// Of reads who answered. Where web handed on who counted the vote, that is the answer: web itself is always near.
func Of(h http.Header) Identity {
	if voting := (Identity{Cluster: h.Get(VotingCluster), Pod: h.Get(VotingPod)}); voting.Cluster != "" {
		return voting
	}
	return Identity{Cluster: h.Get(Cluster), Pod: h.Get(Pod)}
}
