namespace Genfence.Tests;

/// <summary>
/// Commands whose answers are lost, and commands that are lost: what is settled, and what stays in doubt. What goes on in
/// the background afterwards could meet the next loss, so nothing more is lost in that case.
/// </summary>
public sealed partial class Conformance
{
    private const string Lost = "attempts=1&timeout=300ms&max_errors=0";

    [Case(Needs.Control)]
    private async Task a_store_whose_answer_was_lost_recognises_its_own_work()
    {
        var lease = await _key.LeaseAsync();
        await Server.OrderAsync("lose-replies 1");
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
        foreach (var version in new long?[] { null, 1 })
        {
            var writer = await _key.ReserveAsync();
            await Server.OrderAsync("lose-replies 1");
            Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer, version));
            Assert.Equal("committed", await _key.TextAsync());
        }
        await Server.OrderAsync("lose-replies 1");
        Assert.Equal(SetOutcome.Stored, await _key.SetAsync());
        var stamp = (await _key.HitAsync()).Stamp;
        await Server.OrderAsync("lose-replies 1");
        Assert.Equal(ReplaceOutcome.Stored, await _key.ReplaceAsync(stamp));
        await Server.OrderAsync("lose-replies 1");
        await _key.InvalidateAsync();
        Assert.Equal((null, 0), (await _key.TextAsync(), _key.Cache.Stats.InDoubt));
    }

    [Case(Needs.Control)]
    private async Task a_command_that_was_lost_is_sent_again()
    {
        await Server.OrderAsync("lose-requests 2");
        var lease = await _key.LeaseAsync();
        await Server.OrderAsync("lose-requests 2");
        Assert.Equal(FillOutcome.Stored, await Key.FillAsync(lease));
        await Server.OrderAsync("lose-requests 2");
        var writer = await _key.ReserveAsync();
        await Server.OrderAsync("lose-requests 2");
        Assert.Equal(CommitOutcome.Stored, await Key.CommitAsync(writer));
        writer = await _key.ReserveAsync();
        await Server.OrderAsync("lose-requests 2");
        Assert.Equal(ReleaseOutcome.Purged, await Key.ReleaseAsync(writer));
        Assert.Equal((LookupKind.Leased, 0L), (await _key.LookAsync(), _key.Cache.Stats.InDoubt));
    }

    [Case(Needs.Control, Lost)]
    private Task a_fill_whose_answer_is_lost_is_in_doubt() => DoubtfulFillAsync("lose-replies 1", "filled");

    [Case(Needs.Control, Lost)]
    private Task a_fill_that_is_lost_is_in_doubt() => DoubtfulFillAsync("lose-requests 1", null);

    [Case(Needs.Control, Lost)]
    private Task a_commit_whose_answer_is_lost_releases() => DoubtfulCommitAsync("lose-replies 1", null, CommitOutcome.Purged);

    [Case(Needs.Control, Lost)]
    private Task a_versioned_commit_whose_answer_is_lost_releases() => DoubtfulCommitAsync("lose-replies 1", 3, CommitOutcome.Purged);

    [Case(Needs.Control, Lost)]
    private Task a_commit_that_is_lost_releases() => DoubtfulCommitAsync("lose-requests 1", null, CommitOutcome.Purged);

    [Case(Needs.Control, Lost)]
    private Task a_commit_whose_release_has_no_answer_either_is_in_doubt() =>
        DoubtfulCommitAsync("lose-replies 2", null, CommitOutcome.InDoubt);

    [Case(Needs.Control, Lost)]
    private Task a_versioned_commit_whose_release_is_lost_too_is_in_doubt() =>
        DoubtfulCommitAsync("lose-requests 2", 3, CommitOutcome.InDoubt);

    [Case(Needs.Control, Lost)]
    private Task a_release_whose_answer_is_lost_is_in_doubt() => DoubtfulReleaseAsync("lose-replies 1", null);

    [Case(Needs.Control, Lost)]
    private Task a_release_that_is_lost_is_in_doubt() => DoubtfulReleaseAsync("lose-requests 1", 3);

    [Case(Needs.Control, Lost)]
    private async Task an_update_that_nobody_answers_is_in_doubt()
    {
        Assert.Equal(UpdateOutcome.InDoubt, await _key.Cache.UpdateAsync("k", async (_, _) =>
        {
            await Server.OrderAsync("lose-replies 2");
            return SourceResult.Committed("new");
        }));
        (await FreeAsync()).Dispose();
    }

    [Case(Needs.Control, Lost)]
    private async Task a_blind_store_that_nobody_answers_is_in_doubt()
    {
        await Server.OrderAsync("lose-replies 1");
        Assert.Equal(SetOutcome.InDoubt, await _key.SetAsync());
        Assert.Equal("set", await _key.TextAsync());
        await Server.OrderAsync("lose-replies 1");
        Assert.Equal(ReplaceOutcome.InDoubt, await _key.ReplaceAsync((await _key.HitAsync()).Stamp));
        Assert.Equal("replaced", await _key.TextAsync());
        Assert.Equal(2, _key.Cache.Stats.InDoubt);
    }

    [Case(Needs.Control, Lost)]
    private async Task what_has_no_doubtful_outcome_says_that_nobody_answered()
    {
        using var writer = await _key.ReserveAsync();
        await _key.Another.SetAsync();
        foreach (var call in new Func<Task>[]
        {
            () => _key.InvalidateAsync(),
            () => _key.InvalidateAsync(7),
            () => _key.Another.TouchAsync(10),
            () => writer.RenewAsync().AsTask(),
            () => _key.Another.ReserveAsync(),
        })
        {
            await Server.OrderAsync("lose-requests 1");
            var unanswered = await Assert.ThrowsAsync<GenfenceStoreException>(call);
            Assert.True(unanswered.InDoubt && unanswered.MayRetry);
        }
    }

    [Case(Needs.Control, Lost)]
    private async Task an_abort_that_nobody_answers_is_no_error()
    {
        using var writer = await _key.ReserveAsync();
        await Server.OrderAsync("lose-requests 1");
        await writer.AbortAsync();
        Assert.Equal(BypassReason.Reserved, await _key.LookAsync());
    }

    [Case(Needs.Control, Lost)]
    private async Task a_lease_that_nobody_answers_is_a_bypass()
    {
        await Server.OrderAsync("lose-requests 1");
        Assert.Equal(BypassReason.Unreachable, await _key.LookAsync());
    }

    [Case(Needs.Control, Lost + "&unreachable_read=error")]
    private async Task a_lease_that_nobody_answers_is_an_error_where_that_is_asked_for()
    {
        await Server.OrderAsync("lose-requests 1");
        Assert.True((await Assert.ThrowsAsync<GenfenceStoreException>(_key.LookAsync)).MayRetry);
    }

    [Case(Needs.Control, Lost + "&unreachable_reserve=proceed")]
    private async Task a_reserve_that_nobody_answers_proceeds_where_that_is_asked_for()
    {
        await _key.SetAsync("old");
        await Server.OrderAsync("lose-requests 1");
        var writer = await _key.ReserveAsync();
        Assert.False(writer.IsHeld);
        // Not held: the old value is there until the commit, which only releases.
        Assert.Equal("old", await _key.TextAsync());
        Assert.Equal(CommitOutcome.Purged, await Key.CommitAsync(writer));
        Assert.Null(await _key.TextAsync());
    }

    private async Task DoubtfulFillAsync(string order, string? stored)
    {
        var lease = await _key.LeaseAsync();
        await Server.OrderAsync(order);
        Assert.Equal(FillOutcome.InDoubt, await Key.FillAsync(lease));
        Assert.Equal((stored, 1), (await _key.TextAsync(), _key.Cache.Stats.InDoubt));
    }

    /// <summary>The source did change, so the key is freed, whatever became of the commit.</summary>
    private async Task DoubtfulCommitAsync(string order, long? version, CommitOutcome outcome)
    {
        var writer = await _key.ReserveAsync();
        await Server.OrderAsync(order);
        Assert.Equal(outcome, await Key.CommitAsync(writer, version));
        Assert.Equal(outcome == CommitOutcome.InDoubt ? 1 : 0, _key.Cache.Stats.InDoubt);
        (await FreeAsync()).Dispose();
    }

    private async Task DoubtfulReleaseAsync(string order, long? version)
    {
        var writer = await _key.ReserveAsync();
        await Server.OrderAsync(order);
        Assert.Equal(ReleaseOutcome.InDoubt, await Key.ReleaseAsync(writer, version));
        (await FreeAsync()).Dispose();
    }

    /// <summary>Once the background has released the key; no reservation has expired by then.</summary>
    private async Task<Lease> FreeAsync()
    {
        var waited = System.Diagnostics.Stopwatch.StartNew();
        while (true)
        {
            var looked = await _key.Cache.LookupNowAsync("k");
            if (looked.Lease is { } lease)
            {
                return lease;
            }
            Assert.True(waited.Elapsed < Support.Patience, $"{looked.Kind} {looked.Bypass}");
            await Task.Delay(1);
        }
    }
}
