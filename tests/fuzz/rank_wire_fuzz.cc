// Bytes from outside -> what ranks on several hosts say to each other before a secret has been shown, or as
// text: hellos, beats, and the HOST:PORT of a rendezvous. What is understood is the same once it is said
// anew.
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "base/core/host_port.h"
#include "worker/parallel/tcp/beat.h"
#include "worker/parallel/tcp/door.h"
#include "worker/parallel/tcp/sockets.h"

namespace {

using quire::worker::Beat;
using quire::worker::Hello;

void Require(bool holds) {
  if (!holds) std::abort();
}

void HearHello(const std::string& text) {
  const absl::StatusOr<Hello> hello = quire::worker::DecodeHello(text);
  if (!hello.ok()) return;
  const absl::StatusOr<Hello> again = quire::worker::DecodeHello(EncodeHello(*hello));
  Require(again.ok() && again->kind == hello->kind && again->rank == hello->rank &&
          again->size == hello->size && again->port == hello->port && again->secret == hello->secret);
}

void HearBeat(const std::string& text) {
  const std::optional<Beat> beat = quire::worker::DecodeBeat(text);
  if (!beat) return;
  const std::string said = EncodeBeat(*beat);
  Require(said.size() <= quire::worker::kMostBeatBytes);
  const std::optional<Beat> again = quire::worker::DecodeBeat(said);
  Require(again && again->beats == beat->beats && again->left == beat->left && again->lost == beat->lost &&
          again->drain_asked == beat->drain_asked && again->waiting == beat->waiting &&
          again->step == beat->step && again->step_limit_us == beat->step_limit_us);
}

void ReadHostPort(const std::string& text) {
  const auto parsed = quire::worker::ParseHostPort(text, 29500);
  if (!parsed.ok()) return;
  const auto again = quire::worker::ParseHostPort(quire::JoinHostPort(parsed->host, parsed->port), 1);
  Require(again.ok() && again->host == parsed->host && again->port == parsed->port);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 3) {
    case 0:
      HearHello(text);
      break;
    case 1:
      HearBeat(text);
      break;
    default:
      ReadHostPort(text);
  }
  return 0;
}
