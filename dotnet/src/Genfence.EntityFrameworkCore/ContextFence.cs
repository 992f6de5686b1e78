using System.Data.Common;
using System.Text.RegularExpressions;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.Logging;

namespace Genfence.EntityFrameworkCore;

/// <summary>
/// What one context does, as far as its keys go: which are named, of which save, in which transaction. Keys are reserved in the last moment before what
/// commits them is sent, which is COMMIT, or the statement itself where there is no transaction.
/// </summary>
internal sealed partial class ContextFence : IResettableService, IDisposable
{
    private readonly List<CacheKey> _named = [];
    private bool _isNamed;
    private Save? _save;
    private OpenTransaction? _open;
    private DbTransaction? _transaction;
    private DbContext? _context;

    // A statement outside of a save and of a transaction, and its text: a strategy sends it again.
    private TransactionFence? _statement;
    private (Sent Statement, CacheKey[] Keys)? _again;

    private GenfenceExtension? _extension;
    private ModelFences? _fences;

    public void Name(IEnumerable<CacheKey> keys)
    {
        _isNamed = true;
        _named.AddRange(keys.Select(key => key.Owned()));
    }

    public async ValueTask SavingAsync(DbContext context, CancellationToken cancellation)
    {
        Find(context);
        await ForgetEndedAsync(context).ConfigureAwait(false);
        // One that ended without a word, as somebody else refused it; or that waits until somebody else has saved in the middle of it.
        var outer = _save;
        if (outer is not null)
        {
            Restore(context, outer);
            await NotDoneAsync(outer, null).ConfigureAwait(false);
            outer.Outer = null;
        }
        var save = _save = new Save(context, _fences!) { Outer = outer };
        if (TransactionOf(context) is null && AmbientOf(context) is null
            && context.Database.AutoTransactionBehavior == AutoTransactionBehavior.WhenNeeded
            && _fences!.HasLateKeys && Save.HasLateKeys(context, _fences))
        {
            // The key is known when the row is there, and must be reserved before the row is committed.
            save.Restored = AutoTransactionBehavior.WhenNeeded;
            context.Database.AutoTransactionBehavior = AutoTransactionBehavior.Always;
        }
        if (_fences!.Map.IsReservedEarly ?? Cache.Connection.KeepsCopies)
        {
            if (context.ChangeTracker.AutoDetectChangesEnabled)
            {
                context.ChangeTracker.DetectChanges();
            }
            Collect(save);
            if (Fenced(context, save) is { } fence)
            {
                await fence.ReserveAsync(cancellation).ConfigureAwait(false);
            }
        }
    }

    /// <summary>A statement of a save is about to be sent, when all that looks at what is saved has had its turn.</summary>
    public async ValueTask SendingOfSaveAsync(DbContext context, DbCommand command, CancellationToken cancellation)
    {
        if (_save is not { } save)
        {
            return;
        }
        if (!save.IsSending)
        {
            save.IsSending = true;
            Collect(save);
        }
        var fence = Fenced(context, save);
        if (save.Late is { } late && (fence is null || fence == save.Statements))
        {
            throw new InvalidOperationException(
                $"the key of a {late} is known only once its row is there, and must be reserved before that is committed, so a transaction is needed: "
                + "await db.Database.BeginTransactionAsync(), or AutoTransactionBehavior.Always");
        }
        if (fence is null)
        {
            return;
        }
        if (fence == save.Statements)
        {
            await SendingAloneAsync(command, fence, save.Sent > 0, cancellation).ConfigureAwait(false);
            save.Sent++;
        }
        else if (_open is { IsLate: true } || fence.Remaining != TimeSpan.MaxValue)
        {
            // What is reserved is extended while the transaction goes on.
            await fence.ReserveAsync(cancellation).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A statement of a save failed; of one that was cancelled there is no problem. In a transaction that says nothing yet. A strategy may send it again, under
    /// reservations of its own.
    /// </summary>
    public async ValueTask NotSentOfSaveAsync(Exception? problem)
    {
        if (_save is { } save)
        {
            await NotDoneAsync(save, problem).ConfigureAwait(false);
        }
    }

    public async ValueTask SavedAsync(DbContext context)
    {
        if (Taken(context) is not { Fence: { IsOver: false } fence } save)
        {
            return;
        }
        if (save.IsCommitted || fence == save.Statements)
        {
            save.SetValues(fence, Cache.Logger);
            await fence.CommittedAsync().ConfigureAwait(false);
            return;
        }
        try
        {
            save.CollectLate();
            fence.Add(save.Keys);
            if (_open is { IsLate: true })
            {
                await fence.ReserveAsync().ConfigureAwait(false);
            }
        }
        catch (Exception problem)
        {
            // The rows are written, and the transaction is still open.
            fence.Refused = problem;
            throw;
        }
        save.SetValues(fence, Cache.Logger);
    }

    /// <summary>
    /// A statement found another count of rows than it should. That ends the save, without another word, unless somebody else says that it goes on.
    /// </summary>
    public async ValueTask ConflictingAsync(DbContext context)
    {
        if (_save is not { } save)
        {
            return;
        }
        Restore(context, save);
        if (save.Statements is not { IsOver: false } statements || save.Fence != statements)
        {
            return;
        }
        if (context.Database.AutoTransactionBehavior == AutoTransactionBehavior.Never)
        {
            // Other statements may have been sent with it, and are perhaps still to be committed.
            statements.Dispose();
        }
        else
        {
            await statements.CommittedAsync().ConfigureAwait(false);
        }
    }

    public async ValueTask NotSavedAsync(DbContext context, Exception? problem)
    {
        if (Taken(context) is not { } save)
        {
            return;
        }
        if (save.IsCommitted)
        {
            // What failed came after the COMMIT.
            if (save.Fence is { IsOver: false } fence)
            {
                await fence.CommittedAsync().ConfigureAwait(false);
            }
        }
        else if (save.Own is { } own)
        {
            if (_transaction == own && _open is { IsSent: false } open)
            {
                await ForgetAsync(own, open).ConfigureAwait(false);
            }
        }
        else
        {
            await NotDoneAsync(save, problem).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A statement without a transaction failed, or what it answered could not be read; of what was cancelled there is no problem. Those before it were done.
    /// </summary>
    private static async ValueTask NotDoneAsync(Save save, Exception? problem)
    {
        if (save.Statements is not { IsOver: false } statements)
        {
            return;
        }
        if (save.Sent == 0)
        {
            await statements.RolledBackAsync().ConfigureAwait(false);
        }
        else if (IsRefused(problem))
        {
            await statements.CommittedAsync().ConfigureAwait(false);
        }
        else
        {
            statements.Dispose();
        }
    }

    /// <summary>A statement that the change tracker knows nothing of is about to be sent.</summary>
    public async ValueTask SendingAsync(DbContext context, DbCommand command, CommandSource source, CancellationToken cancellation)
    {
        Find(context);
        if (source == CommandSource.FromSqlQuery && !Changes().IsMatch(command.CommandText))
        {
            return;
        }
        await ForgetEndedAsync(context).ConfigureAwait(false);
        var sent = Sent.Of(command);
        if (!_isNamed && _again is var (before, keys) && before == sent)
        {
            Name(keys);
        }
        _again = null;
        if (!_isNamed)
        {
            if (_fences!.TableIn(command.CommandText) is { } table)
            {
                Unnamed(table);
            }
            return;
        }
        CacheKey[] named = [.. _named];
        TakeNamed();
        if (named.Length == 0)
        {
            return;
        }
        var fence = Of(context);
        if (fence is null)
        {
            if (source == CommandSource.FromSqlQuery)
            {
                throw new InvalidOperationException(
                    "a query that changes rows is over only once all of its rows are read: run it in a transaction, db.Database.BeginTransactionAsync()");
            }
            _statement?.Dispose();
            fence = _statement = Cache.NewTransactionFence();
            _again = (sent, named);
        }
        fence.Add(named);
        fence.Forget(named);
        if (fence == _statement)
        {
            await SendingAloneAsync(command, fence, isChanged: false, cancellation).ConfigureAwait(false);
        }
        else if (_open is { IsLate: true })
        {
            await fence.ReserveAsync(cancellation).ConfigureAwait(false);
        }
    }

    public async ValueTask SentAsync()
    {
        if (Interlocked.Exchange(ref _statement, null) is { } statement)
        {
            _again = null;
            await statement.CommittedAsync().ConfigureAwait(false);
        }
    }

    /// <summary>A statement failed; of one that was cancelled there is no problem.</summary>
    public async ValueTask NotSentAsync(Exception? problem)
    {
        if (Interlocked.Exchange(ref _statement, null) is not { IsOver: false } statement)
        {
            return;
        }
        if (IsRefused(problem))
        {
            await statement.RolledBackAsync().ConfigureAwait(false);
        }
        else
        {
            statement.Dispose();
        }
    }

    /// <summary>
    /// The last moment before a statement that commits by itself. It has to end before its reservations do: its client gives it up, which is no more than a bound of the
    /// client's, in whole seconds. One that may not be sent ends the fence.
    /// </summary>
    private static async ValueTask SendingAloneAsync(DbCommand command, TransactionFence fence, bool isChanged, CancellationToken cancellation)
    {
        var isAllowed = false;
        try
        {
            await fence.CommittingAsync(cancellation).ConfigureAwait(false);
            isAllowed = true;
        }
        finally
        {
            if (!isAllowed && isChanged)
            {
                await fence.CommittedAsync().ConfigureAwait(false);
            }
            else if (!isAllowed)
            {
                await fence.RolledBackAsync().ConfigureAwait(false);
            }
        }
        var seconds = Math.Max(1, (int)fence.Remaining.TotalSeconds);
        if (command.CommandTimeout == 0 || command.CommandTimeout > seconds)
        {
            command.CommandTimeout = seconds;
        }
    }

    /// <summary>The fence of the transaction that the context is in; nothing where it is in none.</summary>
    private TransactionFence? Of(DbContext context)
    {
        if (TransactionOf(context) is { } transaction)
        {
            if (_transaction != transaction)
            {
                (_transaction, _open) = (transaction, OpenTransaction.Of(transaction, Cache) ?? OpenTransaction.Begun(transaction, Cache, owner: null));
            }
            if (_open!.Fence.IsOver)
            {
                _open.BeginAgain();
            }
            return _open.Fence;
        }
        return AmbientOf(context) is { } ambient ? AmbientTransaction.Of(ambient, Cache).Fence : null;
    }

    private void Collect(Save save)
    {
        save.Collect(_isNamed ? _named : null);
        TakeNamed();
        save.Fence = null;
    }

    /// <summary>The fence that the keys of a save are in; nothing where it has none and is in no transaction.</summary>
    private TransactionFence? Fenced(DbContext context, Save save)
    {
        var fence = Of(context);
        if (fence is null)
        {
            if (!save.Keys.Any())
            {
                return null;
            }
            if (save.Statements is not { IsOver: false })
            {
                (save.Statements, save.Sent) = (Cache.NewTransactionFence(), 0);
            }
            fence = save.Statements;
        }
        if (save.Fence != fence)
        {
            // Also that of a transaction which is begun again.
            fence.Add(save.Keys);
            fence.Forget(save.Keys);
            save.Fence = fence;
        }
        return fence;
    }

    private Save? Taken(DbContext context)
    {
        var save = _save;
        if (save is not null)
        {
            _save = save.Outer;
            Restore(context, save);
            if (!save.IsSending)
            {
                // There was nothing to send, and they were for nothing else.
                TakeNamed();
            }
        }
        return save;
    }

    private static void Restore(DbContext context, Save save)
    {
        if (save.Restored is { } behavior)
        {
            context.Database.AutoTransactionBehavior = behavior;
            save.Restored = null;
        }
    }

    private void TakeNamed()
    {
        _named.Clear();
        _isNamed = false;
    }

    private GenfenceCache Cache => _extension!.Cache;

    private void Find(DbContext context)
    {
        _extension ??= context.GetService<IDbContextOptions>().FindExtension<GenfenceExtension>()!;
        _fences ??= ModelFences.Of(context.Model, _extension.Map);
    }

    private void Unnamed(string table)
    {
        var line = $"a statement names the table {table}, whose rows the cache holds, and nobody has said which keys it changes; write "
            + "db.Fence($\"…\") before it, with the keys of the rows that it changes, or none where it changes none of them, as in "
            + "await db.Fence($\"product:{id}\").Products.Where(row => row.Id == id).ExecuteDeleteAsync()";
        switch (_fences!.Map.Unnamed)
        {
            case UnnamedChanges.Refuse:
                throw new InvalidOperationException(line);
            case UnnamedChanges.Warn:
                IsUnnamed(Cache.Logger, line);
                break;
        }
    }

    // In the process of the program, so its answer is not lost: busy, locked, a constraint. It has no codes of the standard.
    private static bool IsRefused(Exception? problem) => problem is not null
        && (DatabaseErrors.IsRolledBack(problem)
            || (problem.GetBaseException() is DbException { Message: var message } database && database.GetType().Name == "SqliteException"
                && OfSqlite().IsMatch(message)));

    [GeneratedRegex("^SQLite Error (5|6|19):")]
    private static partial Regex OfSqlite();

    [GeneratedRegex(@"(?<!\w)(?<!FOR\s+(?:NO\s+KEY\s+)?)(INSERT|UPDATE|DELETE|MERGE|REPLACE|TRUNCATE)(?!\w)", RegexOptions.IgnoreCase)]
    private static partial Regex Changes();

    private static DbTransaction? TransactionOf(DbContext context) => context.Database.CurrentTransaction?.GetDbTransaction();

    private static System.Transactions.Transaction? AmbientOf(DbContext context) =>
        context.GetService<IRelationalConnection>() is ITransactionEnlistmentManager manager
        && (manager.EnlistedTransaction ?? manager.CurrentAmbientTransaction) is { } ambient
        && TakesPart(context.Database.GetDbConnection())
            ? ambient
            : null;

    // Of one that does not, EF Core can be told to ignore it: each statement commits by itself then.
    private static bool TakesPart(DbConnection connection) =>
        connection.GetType().GetMethod(nameof(DbConnection.EnlistTransaction), [typeof(System.Transactions.Transaction)])?.DeclaringType != typeof(DbConnection);

    /// <summary>A statement with its parameters.</summary>
    private readonly record struct Sent(string Text, string Parameters)
    {
        public static Sent Of(DbCommand command) => new(
            command.CommandText,
            string.Join('\n', command.Parameters.Cast<DbParameter>().Select(parameter => $"{parameter.ParameterName}={parameter.Value}")));
    }

    [LoggerMessage(1, LogLevel.Warning, "{Line}")]
    private static partial void IsUnnamed(ILogger logger, string line);
}
