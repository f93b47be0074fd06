// The bytes of a chat answer: server-sent events of a stream and the body of a whole answer, as the hosted
// page shows them. Everything that is the same in each event is made once, so that a token costs one escape
// and one append. Pure; one per request, one thread.
#pragma once

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
  // The finish chunk, and the usage chunk where one is due. kDone follows as a frame of its own: a frame's
  // tokens are counted with its last byte, and who has read the usage shall have been counted.
  std::string End(std::string_view finish_reason, const Usage& usage) const;
  // A stream that failed. kDone follows here too.
  static std::string Error(const http::ApiError& error);
  static constexpr std::string_view kDone = "data: [DONE]\n\n";

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
