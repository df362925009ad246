package native

import "math"

// The rules of the function zscore, as it stands in functions/builtin.
const (
	Threshold = 3    // an anomaly is further out, in standard deviations
	Warmup    = 30   // values to learn from before judging
	HalfLife  = 1000 // values after which one counts half
	Relearn   = 300  // lasting anomalies that are a new normal
	scoreMax  = 1000
)

// A Normal is what is normal for one device: mean and variance, updated by
// each value as in B. P. Welford, Technometrics 4 (1962), with weights that
// fade as in D. H. D. West, Comm. ACM 22 (1979).
type Normal struct {
	weight, weight2, mean, squares float64
	rows, lasting                  int
}

// A Score is the verdict on one value.
type Score struct {
	Score, Expected float64
	Anomaly         bool
}

// Judge scores x by the values before it and then learns from it.
func (n *Normal) Judge(x, kept float64) Score {
	if n.rows < Warmup {
		s := Score{Expected: n.mean}
		n.rows++
		n.learn(x, kept)
		return s
	}
	sd := n.spread()
	s := Score{Score: (x - n.mean) / sd, Expected: n.mean}
	if math.Abs(s.Score) > Threshold {
		s.Anomaly = true
		s.Score = min(max(s.Score, -scoreMax), scoreMax)
		n.learnAnomaly(x, sd, kept)
		return s
	}
	n.lasting = max(n.lasting-2, 0)
	n.learn(x, kept)
	return s
}

// kept returns the share of its weight that a value keeps with every new one.
func kept() float64 { return math.Exp(-math.Ln2 / HalfLife) }

func (n *Normal) learn(x, kept float64) {
	n.weight = n.weight*kept + 1
	n.weight2 = n.weight2*kept*kept + 1
	off := x - n.mean
	n.mean += off / n.weight
	n.squares = n.squares*kept + off*(x-n.mean)
}

// learnAnomaly learns little from an outlier, and a lasting one as the new normal.
func (n *Normal) learnAnomaly(x, sd, kept float64) {
	n.lasting++
	if n.lasting >= Relearn {
		*n = Normal{rows: 1}
		n.learn(x, kept)
	} else if reach := Threshold * sd; math.Abs(x-n.mean) <= 2*reach {
		n.learn(n.mean+math.Copysign(reach, x-n.mean), kept)
	}
}

func (n *Normal) spread() float64 {
	sd := 0.0
	if freedom := n.weight - n.weight2/n.weight; freedom > 0 {
		sd = math.Sqrt(n.squares / freedom)
	}
	return max(sd, math.Abs(n.mean)*1e-9, 1e-150)
}
