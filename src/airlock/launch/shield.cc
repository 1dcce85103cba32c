#include "airlock/launch/shield.h"

#include <algorithm>
#include <utility>

#include "airlock/core/error.h"
#include "airlock/link/socket_address.h"
#include "airlock/link/uri.h"

namespace airlock {
namespace {

/// Throws unless the two may be of operators that do not collude, as far as addresses tell.
void check_dealer(const std::string& dealer, const std::string& worker) {
  require(!dealer.empty(), ErrorCode::kInvalidArgument,
          "pads from a dealer need its address: --dealer URI of a second worker");
  if (worker.empty()) return;
  require(!lead_to_one_listener(parse_uri(dealer), parse_uri(worker)), ErrorCode::kInvalidArgument,
          "the dealer {} is the worker itself: it would know every pad and see what they mask; the "
          "dealer must be another operator's",
          dealer);
}

int checks_of(const Plan& plan) {
  return plan.verify ? plan.soundness / 31 : 0;
}

}  // namespace

ShieldOptions for_plans(ShieldOptions options, std::span<const Plan> plans) {
  options.checks = 1;  // hints are checked whatever the plan
  options.lm_head = false;
  for (const Plan& plan : plans) {
    if (!plan.ring()) continue;
    options.checks = std::max(options.checks, checks_of(plan));
    options.lm_head = options.lm_head || plan.lm_head == Side::kWorker;
  }
  return options;
}

ProductKinds products_for(std::span<const Plan> plans) noexcept {
  const auto is_ring = [](const Plan& plan) { return plan.ring(); };
  if (std::all_of(plans.begin(), plans.end(), is_ring)) return ProductKinds::kRing;
  if (std::none_of(plans.begin(), plans.end(), is_ring)) return ProductKinds::kPlain;
  return ProductKinds::kAll;
}

Shield::Shield(const RunnerModel& model, const Fingerprint& fingerprint, ShieldOptions options)
    : model_(model), fingerprint_(fingerprint), options_(std::move(options)) {
  check_lattice(options_.pads.lattice);
}

Shield::~Shield() = default;

RingModel& Shield::ring_model() const {
  require(ring_ != nullptr, ErrorCode::kInternal, "a shield that no plan was prepared for");
  return *ring_;
}

PadStats Shield::pad_stats() const {
  return pads_ != nullptr ? pads_->stats() : PadStats{};
}

void Shield::prepare(const Plan& plan, WorkerSession& session, const WorkerOptions& worker) {
  pads_ = nullptr;
  if (!plan.ring()) return;
  require(has_ring(session.worker().products), ErrorCode::kUnsupported,
          "plan {} needs exact products, which this worker ({}) does not have: start it with "
          "--products ring or all",
          plan.name, session.worker().backend);
  const auto kind = static_cast<std::size_t>(plan.pads);
  const bool masked = plan.mask == Mask::kPads;
  if (masked && plan.pads == PadKind::kDealer) check_dealer(options_.dealer, worker.uri);
  require(checks_of(plan) <= options_.checks && (plan.lm_head == Side::kRunner || options_.lm_head),
          ErrorCode::kInternal, "plan {} wants more than the shield was made for", plan.name);
  if (ring_ == nullptr) {
    RingModelOptions wanted;
    wanted.checks = options_.checks;
    wanted.lm_head = options_.lm_head;
    wanted.stop = options_.pads.stop;
    if (options_.progress) {
      wanted.progress = [this](std::int64_t done, std::int64_t all) {
        options_.progress("weights", done, all);
      };
    }
    ring_ = std::make_unique<RingModel>(model_.checkpoint(), wanted);
  }
  ring_->renew_failed_keys();
  if (!masked) return;
  std::unique_ptr<PadSource>& source = sources_[kind];
  if (source == nullptr) {
    PadOptions pads = options_.pads;
    pads.fingerprint = fingerprint_;
    if (options_.progress) {
      pads.hint_progress = [this](std::int64_t done, std::int64_t all) {
        options_.progress("hints", done, all);
      };
    }
    switch (plan.pads) {
      case PadKind::kLattice:
        try {
          source = make_lattice_pads(*ring_, session.endpoint().operators(), pads);
        } catch (const Error& error) {
          if (error.code() == ErrorCode::kCheckFailed) ring_->fail_keys();
          throw;
        }
        break;
      case PadKind::kDealer: {
        WorkerOptions dealer = worker;
        dealer.uri = options_.dealer;
        dealer_ = std::make_unique<WorkerSession>(model_, fingerprint_, dealer, nullptr);
        require(has_ring(dealer_->worker().products), ErrorCode::kUnsupported,
                "the dealer {} has no exact products: start it with --products ring or all",
                options_.dealer);
        source = make_dealer_pads(*ring_, dealer_->endpoint().operators(), pads);
        break;
      }
      case PadKind::kLocal:
        source = make_local_pads(*ring_, model_.checkpoint(), pads);
        break;
    }
  }
  pads_ = source.get();
}

void Shield::fill(std::int64_t tokens) {
  if (pads_ == nullptr) return;
  pads_->fill(tokens, [this](std::int64_t done, std::int64_t all) {
    if (options_.progress) options_.progress("pads", done, all);
  });
}

ShieldedEndpoint::ShieldedEndpoint(const Plan& plan, WorkerSession& session,
                                   const WorkerOptions& worker, Shield* shield)
    : session_(session) {
  if (!plan.ring()) return;
  require(shield != nullptr, ErrorCode::kInternal, "plan {} without a shield", plan.name);
  shield->prepare(plan, session, worker);
  operators_ = std::make_unique<RingOperators>(session.endpoint(), shield->ring_model(), plan,
                                               shield->pads());
}

Endpoint ShieldedEndpoint::endpoint() const {
  return operators_ != nullptr ? session_.endpoint().through(*operators_) : session_.endpoint();
}

ShieldTimes ShieldedEndpoint::times() const {
  return operators_ != nullptr ? operators_->times() : ShieldTimes{};
}

}  // namespace airlock
