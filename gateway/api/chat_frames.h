// The bytes of a chat answer: server-sent events of a stream and the body of a whole answer, as the hosted
// page shows them. Everything that is the same in each event is made once, so that a token costs one escape
// and one append. Pure; one per request, one thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/core/ids.h"
#include "gateway/accounting/accountant.h"
#include "gateway/api/chat_request.h"

namespace quire::gateway {

class ChatFrames {
 public:
  ChatFrames(const RequestId& id, std::string_view model, int64_t created_unix_s, UsageFrames usage_frames);

  std::string Role() const;
  // Valid until the next call.
  std::string_view Text(std::string_view text);
  // The finish chunk, and the usage chunk where one is due.
  std::string End(std::string_view finish_reason, const Usage& usage) const;
  // A stream that failed.
  static std::string Error(const http::ApiError& error);
  static constexpr std::string_view kDone = "data: [DONE]\n\n";

  // What closes an answer, with the tokens that are left to count. A frame's tokens are counted with its last
  // byte, and who has read the usage shall have been counted: what follows the usage is a frame of its own.
  struct Frame {
    std::string bytes;
    uint32_t positions = 0;
  };
  using Close = std::array<Frame, 2>;
  // `end`: an End or an Error.
  static Close CloseStream(std::string end, uint32_t positions);
  Close CloseWhole(std::string_view finish_reason, const Usage& usage, uint32_t positions) const;

  // The body of an answer that is not streamed, around its text (AppendJsonEscaped): up to the usage's end,
  // and what closes the body.
  std::string WholeStart() const;
  std::string WholeEnd(std::string_view finish_reason, const Usage& usage) const;
  static constexpr std::string_view kWholeClose = "}";

 private:
  const RequestId id_;
  const std::string model_;
  const int64_t created_unix_s_;
  const UsageFrames usage_frames_;
  const std::string chunk_start_, chunk_end_;
  const std::string text_start_, text_end_;
  std::string frame_;
};

// Nano-dollars as dollars: the double nearest to nano/1e9, in the fewest digits that read back as it, so that
// a client's Decimal shows the ledger's own number. (Multiplying by 1e-9 gives another double in two cases of
// five.)
std::string CostUsd(int64_t nano_usd);

}  // namespace quire::gateway
