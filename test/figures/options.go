package figures

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The formats of a report.
const (
	FormatTable = "table"
	FormatJSON  = "json"
)

// flagOutput is the flag of the format; the variable of a flag has its name in capitals, and this one says what it means.
const flagOutput, variableOutput = "o", "OUTPUT"

// Parse reads flags, whose defaults come from the environment, for make.
func Parse(fs *flag.FlagSet, args []string) error {
	var err error
	fs.VisitAll(func(f *flag.Flag) {
		if err == nil {
			err = fromEnvironment(fs, f.Name)
		}
	})
	if err != nil {
		return err
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return nil
}

// fromEnvironment takes a variable as if it were the flag.
func fromEnvironment(fs *flag.FlagSet, name string) error {
	variable := strings.ToUpper(name)
	if name == flagOutput {
		variable = variableOutput
	}
	value := os.Getenv(variable)
	if value == "" {
		return nil
	}
	if err := fs.Set(name, value); err != nil {
		return fmt.Errorf("$%s is %q: %w", variable, value, err)
	}
	return nil
}

// Numbers takes a list such as 0,1000 apart, and sorts it.
func Numbers(name, list string, least, most int) ([]int, error) {
	var all []int
	for field := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(field))
		if err != nil || n < least || n > most {
			return nil, fmt.Errorf("-%s: %q is no number from %d to %d", name, field, least, most)
		}
		all = append(all, n)
	}
	slices.Sort(all)
	return all, nil
}

// Sections takes a list of sections apart; none is asked for when it is empty.
func Sections(list string, known []string) ([]string, error) {
	if list == "" {
		return nil, nil
	}
	wanted := strings.Split(list, ",")
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("-only: there is no section %q, only %s", name, strings.Join(known, ", "))
		}
	}
	return wanted, nil
}

// CheckFormat refuses what is no format of a report.
func CheckFormat(format string) error {
	if format != FormatTable && format != FormatJSON {
		return fmt.Errorf("-o %q: give %s or %s", format, FormatTable, FormatJSON)
	}
	return nil
}
