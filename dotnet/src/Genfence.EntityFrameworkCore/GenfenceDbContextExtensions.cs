using Genfence;
using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;

namespace Microsoft.EntityFrameworkCore;

/// <summary>Genfence for EF Core.</summary>
public static class GenfenceDbContextExtensions
{
    /// <summary>
    /// From now on this context fences what it changes: the keys of the entities that a <c>SaveChanges</c> writes are reserved before COMMIT is sent, and released, or
    /// given their values, when it is done. A key that cannot be reserved fails the save, before anything is committed.
    /// </summary>
    /// <remarks>
    /// After the reserve all is bounded by <see cref="TransactionFence.Remaining"/>. Of a transaction PostgreSQL itself refuses a COMMIT that comes too late, as this process was paused or
    /// the network has kept it (<c>statement_timeout</c>, <c>lock_timeout</c> and <c>idle_in_transaction_session_timeout</c> are set for it, one statement more before COMMIT); but in a
    /// <c>TransactionScope</c>, and on other databases, the time is only looked at before COMMIT is sent. A statement that commits by itself, as that of a save of one row and
    /// <c>ExecuteUpdate</c>, is given up by its client in time (<c>CommandTimeout</c>), which is no bound of the server's: where a process may be paused for longer than
    /// its reservations last, use a transaction, or <c>AutoTransactionBehavior.Always</c>.
    /// </remarks>
    /// <param name="options">The context's options.</param>
    /// <param name="cache">The cache that readers read; it must outlive the context.</param>
    /// <param name="map">
    /// Which keys each entity stands in. It is run once for a model, so it must not depend on what differs between contexts of one type.
    /// </param>
    /// <returns>The options.</returns>
    public static DbContextOptionsBuilder UseGenfence(this DbContextOptionsBuilder options, GenfenceCache cache, Action<FenceMap> map)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(cache);
        ArgumentNullException.ThrowIfNull(map);
        ((IDbContextOptionsBuilderInfrastructure)options).AddOrUpdateExtension(new GenfenceExtension(cache, map));
        return options;
    }

    /// <inheritdoc cref="UseGenfence(DbContextOptionsBuilder, GenfenceCache, Action{FenceMap})"/>
    /// <typeparam name="TContext">The context's type.</typeparam>
    public static DbContextOptionsBuilder<TContext> UseGenfence<TContext>(
        this DbContextOptionsBuilder<TContext> options, GenfenceCache cache, Action<FenceMap> map)
        where TContext : DbContext =>
        (DbContextOptionsBuilder<TContext>)UseGenfence((DbContextOptionsBuilder)options, cache, map);

    /// <summary>
    /// Names keys that the next statement changes, where the change tracker cannot know them: <c>ExecuteUpdate</c>, <c>ExecuteDelete</c>, raw SQL; rows that a
    /// trigger or a cascade of the database changes, beside a <c>SaveChanges</c>.
    /// <c>await db.Fence($"product:{id}").Products.Where(p => p.Id == id).ExecuteDeleteAsync()</c>
    /// </summary>
    /// <typeparam name="TContext">The context's type.</typeparam>
    /// <param name="context">The context.</param>
    /// <param name="keys">The keys. None of them says that nothing in the cache is made of what the statement changes.</param>
    /// <returns>The context.</returns>
    /// <exception cref="InvalidOperationException">The context does not use Genfence.</exception>
    public static TContext Fence<TContext>(this TContext context, params IEnumerable<CacheKey> keys)
        where TContext : DbContext
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(keys);
        var fence = ((IInfrastructure<IServiceProvider>)context).Instance.GetService(typeof(ContextFence)) as ContextFence
            ?? throw new InvalidOperationException($"{typeof(TContext).Name} does not use Genfence: call UseGenfence where its database is chosen");
        fence.Name(keys);
        return context;
    }
}
