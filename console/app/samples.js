// Events to try the server with.

export default {
  order: ['orders', 'order.created', {
    number: 1001, status: 'processing', currency: 'EUR', total: '79.87', billing: { first_name: 'Ada', last_name: 'Lovelace' },
    line_items: [{ sku: 'TEA-EARL-100', name: 'Earl Grey, 100 g', quantity: 2 }, { sku: 'CUP-07', name: '茶杯', quantity: 1 }],
  }],
  comment: ['comments', 'comment.created', { comment: 5120, ticket: 42, author: 'Grace Hopper', body: 'I can reproduce this. It happens after a reload only.' }],
  ticket: ['tickets', 'ticket.opened', { ticket: 42, title: 'The total is wrong after a refund', priority: 'high', labels: ['billing'], reporter: 'Alan Turing' }],
};
