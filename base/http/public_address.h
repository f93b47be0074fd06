// Whether an address is somebody's on the public Internet, by IANA's registries of special purposes: who is
// asked to connect to a name that a stranger gave, asks this of every address that the name has. Refused are
// loopback, private and link-local ones (a cloud's metadata), shared ones of carriers, multicast, those of
// documents and benchmarks, and every IPv6 address that only wraps an IPv4 one. Pure; any thread.
#pragma once

#include <boost/asio/ip/address.hpp>

namespace quire::http {

bool IsPublicAddress(const boost::asio::ip::address& address);

}  // namespace quire::http
