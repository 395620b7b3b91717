package authn

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrHostBits is a warning: the network is taken without them.
var ErrHostBits = errors.New("bits are set behind the prefix; the whole network is meant")

// ParseNetwork reads a CIDR or a single address; an IPv4 network written as
// IPv6 is the IPv4 network. ErrHostBits comes beside a network that works.
func ParseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		address = address.Unmap().WithZone("")
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return network, fmt.Errorf("%q is no network such as 10.0.0.0/8, 2001:db8::/32 or 192.0.2.1", text)
	}
	if a := network.Addr(); a.Is4In6() && network.Bits() >= 96 {
		network = netip.PrefixFrom(a.Unmap(), network.Bits()-96)
	}
	if network != network.Masked() {
		return network.Masked(), fmt.Errorf("%q: %w", text, ErrHostBits)
	}
	return network, nil
}
