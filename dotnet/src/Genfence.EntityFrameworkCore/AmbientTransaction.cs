using System.Collections.Concurrent;
using System.Transactions;

namespace Genfence.EntityFrameworkCore;

/// <summary>
/// The fence of a transaction of System.Transactions (<c>TransactionScope</c>), which all contexts in it share. It takes part in the phase before the first, which keeps a single
/// database from having to commit in two phases.
/// </summary>
internal sealed class AmbientTransaction : IEnlistmentNotification
{
    private static readonly ConcurrentDictionary<(string Transaction, GenfenceCache Cache), AmbientTransaction> s_open = [];

    private readonly (string, GenfenceCache) _name;

    private AmbientTransaction((string Transaction, GenfenceCache Cache) name)
    {
        _name = name;
        Fence = name.Cache.NewTransactionFence();
    }

    public TransactionFence Fence { get; }

    public static AmbientTransaction Of(Transaction transaction, GenfenceCache cache)
    {
        var name = (transaction.TransactionInformation.LocalIdentifier, cache);
        if (s_open.TryGetValue(name, out var known))
        {
            return known;
        }
        var ambient = new AmbientTransaction(name);
        s_open[name] = ambient;
        try
        {
            transaction.EnlistVolatile(ambient, EnlistmentOptions.EnlistDuringPrepareRequired);
        }
        catch
        {
            s_open.TryRemove(name, out _);
            throw;
        }
        return ambient;
    }

    /// <summary>It is about to be committed: nobody has been told to yet.</summary>
    public void Prepare(PreparingEnlistment preparingEnlistment) => _ = PrepareAsync(preparingEnlistment);

    public void Commit(Enlistment enlistment) => End(enlistment, async fence =>
    {
        // PostgreSQL rolls back a COMMIT after a statement that failed, and that counts as done: what would have been there is not stored.
        fence.ForgetAll();
        await fence.CommittedAsync().ConfigureAwait(false);
    });

    public void Rollback(Enlistment enlistment) => End(enlistment, async fence => await fence.RolledBackAsync().ConfigureAwait(false));

    public void InDoubt(Enlistment enlistment) => End(enlistment, fence =>
    {
        fence.Dispose();
        return Task.CompletedTask;
    });

    private async Task PrepareAsync(PreparingEnlistment enlistment)
    {
        try
        {
            await Fence.CommittingAsync().ConfigureAwait(false);
        }
#pragma warning disable CA1031 // Whatever it is, the transaction must not wait for an answer.
        catch (Exception problem)
#pragma warning restore CA1031
        {
            s_open.TryRemove(_name, out _);
            if (!Fence.IsOver)
            {
                await Fence.RolledBackAsync().ConfigureAwait(false);
            }
            enlistment.ForceRollback(problem);
            return;
        }
        enlistment.Prepared();
    }

    // Whoever leaves the scope finds the cache told: the store's own bounds are those of the wait.
    private void End(Enlistment enlistment, Func<TransactionFence, Task> told)
    {
        s_open.TryRemove(_name, out _);
        if (!Fence.IsOver)
        {
            told(Fence).GetAwaiter().GetResult();
        }
        enlistment.Done();
    }
}
