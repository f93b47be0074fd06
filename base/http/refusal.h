// Why the server itself refuses a request: a closed set of rules (also a metrics label), each with its status
// and the sentence that its client reads. Pure, any thread.
#pragma once

#include "absl/status/status.h"
#include "base/http/error_body.h"

namespace quire::http {

enum class Rule {
  kHeadTooLarge,
  kTooManyHeaders,
  kHeadTimeout,
  kSyntax,
  kControlByte,
  kObsFold,
  kVersion,
  kTransferEncoding,
  kContentLength,
  kHost,
  kAuthorization,
  kTarget,
  kExpectation,
  kBodyTooLarge,
  kBodyTimeout,
  kChunking,
  kContentEncoding,
  kGzip,
  kNoRoute,
  kMethod,
  kUnknownMethod,
  kNoReply,
  kOverCapacity,
  kCount,  // not a rule
};

// What a failed Gunzip (inflate.h) breaks.
Rule RuleOfGunzip(const absl::Status& failure);
// The rule's metrics label.
const char* LabelOf(Rule rule);
ApiError RefusalError(Rule rule);

}  // namespace quire::http
