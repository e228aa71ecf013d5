"""How one call goes. Read in this order:

1. :mod:`~llmkit.flow.ask`: a whole answer, from the first instance that gives one.
2. :mod:`~llmkit.flow.failover`: try after try, each on the instance and key whose turn it is.
3. :mod:`~llmkit.flow.retrying`: what a failure means for the next try.
4. :mod:`~llmkit.flow.attempt`: one try: room and key, the request, the reply.
5. :mod:`~llmkit.flow.stream`: a streamed answer: opened like any other, then read as it comes;
   :mod:`~llmkit.flow.resuming`: how a broken one goes on, where that was asked for.
6. :mod:`~llmkit.flow.batch`: many calls, at most so many at once.
7. :mod:`~llmkit.flow.race` and :mod:`~llmkit.flow.hedge`: asking twice, at once or when the first is late.
8. :mod:`~llmkit.flow.fallback`: other models, less, later or no: what follows when all of that has failed.
9. :mod:`~llmkit.flow.queued`: calls that are answered later.
10. :mod:`~llmkit.flow.budgeted`: calls under a budget.
11. :mod:`~llmkit.flow.kit`: what all of them work with.

The text is ``async def``, for both colours. It awaits nothing but its runtime, so an async client awaits it, and a sync client runs
it in one step over a runtime that blocks (:mod:`llmkit.finish`). It reads no clock, rolls no dice and opens no socket itself.
"""
