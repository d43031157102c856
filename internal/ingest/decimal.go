package ingest

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/tallystick/tallystick/onem2m"
)

// Bounds of a number to reckon with: the range of a double, and more digits than any instrument has.
const (
	maxDigits   = 400
	maxExponent = 400
)

// decimal is an exact decimal number, coefficient * 10^exponent.
type decimal struct {
	coefficient big.Int
	exponent    int
}

var ten = big.NewInt(10)

// parseDecimal reads a JSON number.
func parseDecimal(text []byte) (decimal, *onem2m.Error) {
	var d decimal
	if len(text) > maxDigits || !isNumber(string(text)) {
		return d, onem2m.Errorf(onem2m.StatusBadRequest, "%.40q is no number of at most %d characters", text, maxDigits)
	}
	s := strings.ToLower(string(text))
	mantissa, exponent, scientific := strings.Cut(s, "e")
	if scientific {
		e, err := strconv.Atoi(exponent)
		if err != nil || e > maxExponent || e < -maxExponent {
			return d, onem2m.Errorf(onem2m.StatusBadRequest, "the exponent of %.40q is beyond %d", text, maxExponent)
		}
		d.exponent = e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	d.exponent -= len(fraction)
	d.coefficient.SetString(whole+fraction, 10)
	return d, nil
}

// microseconds is a time in seconds.
func microseconds(v int64) decimal {
	d := decimal{exponent: -6}
	d.coefficient.SetInt64(v)
	for d.exponent < 0 {
		q, r := new(big.Int).QuoRem(&d.coefficient, ten, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		d.coefficient, d.exponent = *q, d.exponent+1
	}
	return d
}

// scaled is the coefficient that d has with a smaller exponent.
func (d *decimal) scaled(exponent int) *big.Int {
	p := new(big.Int).Exp(ten, big.NewInt(int64(d.exponent-exponent)), nil)
	return p.Mul(p, &d.coefficient)
}

// plus adds exactly. The sum of two numbers of a few digits has a few digits, unless they are far apart.
func (d decimal) plus(o decimal) decimal {
	exponent := min(d.exponent, o.exponent)
	sum := decimal{exponent: exponent}
	sum.coefficient.Add(d.scaled(exponent), o.scaled(exponent))
	return sum
}

// compare is -1, 0 or 1 as d is less than o, equal to it or greater.
func (d decimal) compare(o decimal) int {
	exponent := min(d.exponent, o.exponent)
	return d.scaled(exponent).Cmp(o.scaled(exponent))
}

// less compares with a whole number.
func (d decimal) less(n int64) bool {
	var whole decimal
	whole.coefficient.SetInt64(n)
	return d.compare(whole) < 0
}

// floor is the greatest whole number of units, 10^exponent each, that is not greater than d.
func (d decimal) floor(exponent int) *big.Int {
	if d.exponent >= exponent {
		return d.scaled(exponent)
	}
	unit := new(big.Int).Exp(ten, big.NewInt(int64(exponent-d.exponent)), nil)
	return unit.Div(&d.coefficient, unit)
}

// String gives a JSON number without an exponent where that is short.
func (d decimal) String() string {
	digits := new(big.Int).Abs(&d.coefficient).String()
	sign := ""
	if d.coefficient.Sign() < 0 {
		sign = "-"
	}
	switch e := d.exponent; {
	case d.coefficient.Sign() == 0:
		return "0"
	case e > 20 || e < -60:
		return sign + digits + "e" + strconv.Itoa(e)
	case e >= 0:
		return sign + digits + strings.Repeat("0", e)
	default:
		if len(digits) <= -e {
			digits = strings.Repeat("0", -e-len(digits)+1) + digits
		}
		point := len(digits) + e
		return sign + digits[:point] + "." + digits[point:]
	}
}
