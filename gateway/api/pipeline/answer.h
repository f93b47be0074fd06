// The one loop that every answer goes through: what its generations have to say, in a door's words, into a
// sink.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/http/request_record.h"
#include "gateway/api/pipeline/answer_writer.h"
#include "gateway/api/pipeline/sink.h"
#include "gateway/generation/generations.h"

namespace quire::gateway {

// Returns when all was said or the client has left; what it took has then been counted.
boost::asio::awaitable<void> Answer(Generations& generations, AnswerWriter& writer, Sink& sink,
                                    http::RequestRecord& record);

}  // namespace quire::gateway
