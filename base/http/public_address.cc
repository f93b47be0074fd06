#include "base/http/public_address.h"

#include <algorithm>
#include <array>
#include <cstdint>

namespace quire::http {
namespace {

namespace ip = boost::asio::ip;

struct Range4 {
  uint8_t a, b, c, d;
  int bits;
};

constexpr Range4 kNotPublic4[] = {
    {0, 0, 0, 0, 8},        // this network
    {10, 0, 0, 0, 8},       // private
    {100, 64, 0, 0, 10},    // shared by carriers' translators
    {127, 0, 0, 0, 8},      // loopback
    {169, 254, 0, 0, 16},   // link-local; 169.254.169.254
    {172, 16, 0, 0, 12},    // private
    {192, 0, 0, 0, 24},     // protocols
    {192, 0, 2, 0, 24},     // documents
    {192, 31, 196, 0, 24},  // AS112
    {192, 52, 193, 0, 24},  // AMT
    {192, 88, 99, 0, 24},   // relays of 6to4
    {192, 168, 0, 0, 16},   // private
    {192, 175, 48, 0, 24},  // AS112
    {198, 18, 0, 0, 15},    // benchmarks
    {198, 51, 100, 0, 24},  // documents
    {203, 0, 113, 0, 24},   // documents
    {224, 0, 0, 0, 4},      // multicast
    {240, 0, 0, 0, 4},      // reserved; broadcast
};

// Within 2000::/3, which is all that is given out: so mapped, compatible and translated IPv4 (::/96,
// ::ffff:0:0/96, 64:ff9b::/96), local (fc00::/7, fe80::/10, fec0::/10) and multicast ones are none of it.
struct Range6 {
  std::array<uint8_t, 4> head;
  int bits;
};

constexpr Range6 kNotPublic6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23},  // protocols: Teredo, benchmarks, ORCHID
    {{0x20, 0x01, 0x0d, 0xb8}, 32},  // documents
    {{0x20, 0x02, 0x00, 0x00}, 16},  // 6to4: an IPv4 address inside
    {{0x26, 0x20, 0x00, 0x4f}, 32},  // AS112 (2620:4f:8000::/48 is in it)
    {{0x3f, 0xff, 0x00, 0x00}, 20},  // documents
};

template <typename Bytes, typename Head>
bool HasPrefix(const Bytes& bytes, const Head& head, int bits) {
  for (size_t i = 0; bits > 0; ++i, bits -= 8) {
    const int mask = bits >= 8 ? 0xFF : 0xFF << (8 - bits) & 0xFF;
    if ((bytes[i] & mask) != (head[i] & mask)) return false;
  }
  return true;
}

bool IsPublic4(const ip::address_v4::bytes_type& bytes) {
  return std::none_of(std::begin(kNotPublic4), std::end(kNotPublic4), [&](const Range4& range) {
    return HasPrefix(bytes, std::array{range.a, range.b, range.c, range.d}, range.bits);
  });
}

bool IsPublic6(const ip::address_v6::bytes_type& bytes) {
  if (!HasPrefix(bytes, std::array<uint8_t, 1>{0x20}, 3)) return false;
  return std::none_of(std::begin(kNotPublic6), std::end(kNotPublic6),
                      [&](const Range6& range) { return HasPrefix(bytes, range.head, range.bits); });
}

}  // namespace

bool IsPublicAddress(const ip::address& address) {
  if (address.is_v4()) return IsPublic4(address.to_v4().to_bytes());
  return address.to_v6().scope_id() == 0 && IsPublic6(address.to_v6().to_bytes());
}

}  // namespace quire::http
