// Distinct identifiers. A RequestId is 128 random bits minted by the gateway; it keys every money RPC
// (ARCHITECTURE 5.5). Values are plain data, free to copy between threads.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace quire {

using TokenId = int32_t;

struct RequestId {
  std::array<uint8_t, 16> bytes{};

  static RequestId Random();
  // From the 16 raw bytes of a protobuf field.
  static absl::StatusOr<RequestId> FromBytes(std::string_view raw);
  std::string ToBytes() const { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }
  std::string ToHex() const;

  auto operator<=>(const RequestId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const RequestId& id) {
    return H::combine_contiguous(std::move(h), id.bytes.data(), id.bytes.size());
  }
};

// `size` bytes of the kernel's randomness.
std::string RandomBytes(size_t size);

}  // namespace quire
